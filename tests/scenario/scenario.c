/* scenario.c - plays the scenarios that are named, or all that lie beside the sources.
 *
 * One line for each that fails, FILE:LINE: what was expected and what came; and
 * at the end how many passed and failed.
 */
#include "play.h"

#include "base/log.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool scenario_play(const char *path)
{
	struct play *p = malloc(sizeof *p);
	bool         passed;

	if (!p)
		abort();
	passed = play_file(p, path);
	if (!passed)
		printf("%s:%u: %s\n", path, p->story.failed_line, p->story.why);
	free(p);
	return passed;
}

/* Every scenario must be in the list that goes into a release. */
static bool scenario_is_listed(const char *list, const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (strstr(list, name))
		return true;
	printf("%s: is not named in local.mk, so a release would lack it\n", path);
	return false;
}

static int scenario_all(unsigned *passed, unsigned *failed)
{
	const char   *srcdir = getenv("srcdir");
	struct script list;
	char          pattern[4096];
	glob_t        found;

	snprintf(pattern, sizeof pattern, "%s/tests/scenario/local.mk", srcdir ? srcdir : ".");
	if (script_read(pattern, &list) < 0) {
		fprintf(stderr, "%s: cannot be read; name scenarios, or set srcdir\n", pattern);
		return -1;
	}
	for (unsigned i = 0; i + 1 < list.count; i++)		/* one text again */
		list.lines[i][strlen(list.lines[i])] = '\n';
	snprintf(pattern, sizeof pattern, "%s/tests/scenario/*.scn", srcdir ? srcdir : ".");
	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			bool good = scenario_is_listed(list.text, found.gl_pathv[i]);

			good &= scenario_play(found.gl_pathv[i]);
			*(good ? passed : failed) += 1;
		}
		globfree(&found);
	}
	script_done(&list);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0;

	log_set_level(LOG_LEVEL_ERROR);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		*(scenario_play(argv[i]) ? &passed : &failed) += 1;
	if (argc == 1 && scenario_all(&passed, &failed) < 0)
		return EXIT_FAILURE;
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed ? EXIT_FAILURE : EXIT_SUCCESS;
}
