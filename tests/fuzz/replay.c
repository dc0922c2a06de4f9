/* replay.c - hands a target the inputs that are kept, for builds without a fuzzer.
 *
 * Arguments are files and folders.  Without any it takes the folder of the
 * target's own corpus: replay_x takes tests/fuzz/corpus/x of the sources.  Each
 * input ends at a page that cannot be touched.
 */
#include "../unit/guard.h"
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

#define INPUT_MAX ((size_t)1 << 20)

static struct guard guard;
static unsigned     replayed;

static int replay_file(const char *path)
{
	static uint8_t octets[INPUT_MAX];
	FILE          *f = fopen(path, "rb");
	size_t         n;

	if (!f) {
		perror(path);
		return 1;
	}
	n = fread(octets, 1, sizeof octets, f);
	fclose(f);
	fprintf(stderr, "%s\n", path);		/* the last one named is the one that fails */
	LLVMFuzzerTestOneInput(guard_copy(&guard, octets, n), n);
	replayed++;
	return 0;
}

static int replay(const char *path)
{
	struct stat    st;
	struct dirent *entry;
	DIR           *dir;
	int            err = 0;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return replay_file(path);
	dir = opendir(path);
	if (!dir) {
		perror(path);
		return 1;
	}
	while ((entry = readdir(dir))) {
		char inner[1024];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
		err |= replay(inner);
	}
	closedir(dir);
	return err;
}

int main(int argc, char **argv)
{
	const char *sources = getenv("srcdir"), *name = strstr(argv[0], "replay_");
	char        own[1024];
	int         err = 0;

	guard_init(&guard, INPUT_MAX);
	for (int i = 1; i < argc; i++)
		err |= replay(argv[i]);
	if (argc == 1 && name) {
		snprintf(own, sizeof own, "%s/tests/fuzz/corpus/%s", sources ? sources : ".", name + 7);
		err = replay(own);
	}
	printf("%u inputs\n", replayed);
	return err || !replayed;
}
