/* test_keep.c - small files that outlive the process: whole or not at all, and ours or unread. */
#include "unit.h"

#include "base/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
	char dir[64];
	char path[128];
};

static const char *path_of(struct folder *f, const char *name)
{
	snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
	return f->path;
}

static int folder_setup(void **state)
{
	struct folder *f = calloc(1, sizeof *f);

	assert_non_null(f);
	strcpy(f->dir, "/tmp/test_keep.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static int folder_teardown(void **state)
{
	static const char *const names[] = { "a", "b", ".a.new", ".b.new" };
	struct folder           *f = *state;

	for (size_t i = 0; i < COUNT_OF(names); i++)
		unlink(path_of(f, names[i]));
	rmdir(path_of(f, "a"));
	assert_int_equal(rmdir(f->dir), 0);	/* nothing else is left behind */
	free(f);
	return 0;
}

static void keeps(const struct folder *f, const char *name, const char *text)
{
	char  *data;
	size_t len;

	assert_int_equal(keep_read(f->dir, name, 100, &data, &len), 0);
	assert_int_equal(len, strlen(text));
	assert_string_equal(data, text);
	free(data);
}

static int reads(const struct folder *f, const char *name, size_t max)
{
	char  *data = NULL;
	size_t len;
	int    err = keep_read(f->dir, name, max, &data, &len);

	assert_true(err < 0 || data);
	free(data);
	return err;
}

static void test_what_was_written_is_read(void **state)
{
	struct folder *f = *state;
	struct stat    st;

	assert_int_equal(reads(f, "a", 100), -ENOENT);
	assert_int_equal(keep_write(f->dir, "a", "first", 5), 0);
	keeps(f, "a", "first");
	assert_int_equal(stat(path_of(f, "a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(keep_write(f->dir, "a", "2nd", 3), 0);
	keeps(f, "a", "2nd");
	assert_int_equal(reads(f, "a", 3), 0);
	assert_int_equal(reads(f, "a", 2), -EFBIG);
}

static void test_the_old_one_stays_whole_for_who_has_it_open(void **state)
{
	struct folder *f = *state;
	char           text[8] = "";
	int            fd;

	assert_int_equal(keep_write(f->dir, "a", "first", 5), 0);
	fd = open(path_of(f, "a"), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(keep_write(f->dir, "a", "other", 5), 0);
	assert_int_equal(read(fd, text, sizeof text), 5);
	assert_string_equal(text, "first");
	close(fd);
}

static void test_what_an_interrupted_writer_left_is_no_hindrance(void **state)
{
	struct folder *f = *state;

	assert_int_equal(symlink("/dev/full", path_of(f, ".a.new")), 0);
	assert_int_equal(keep_write(f->dir, "a", "x", 1), 0);
	keeps(f, "a", "x");
}

static void test_links_are_not_followed(void **state)
{
	struct folder *f = *state;

	assert_int_equal(keep_write(f->dir, "b", "secret", 6), 0);
	assert_int_equal(symlink("b", path_of(f, "a")), 0);
	assert_int_equal(reads(f, "a", 100), -EPERM);
	assert_int_equal(keep_write(f->dir, "a", "mine", 4), 0);	/* in place of the link */
	keeps(f, "a", "mine");
	keeps(f, "b", "secret");
}

static void test_no_plain_file_and_none_that_others_read(void **state)
{
	struct folder *f = *state;

	assert_int_equal(mkfifo(path_of(f, "a"), 0600), 0);
	assert_int_equal(reads(f, "a", 100), -EPERM);	/* and does not wait */
	assert_int_equal(unlink(path_of(f, "a")), 0);
	assert_int_equal(mkdir(path_of(f, "a"), 0700), 0);
	assert_int_equal(reads(f, "a", 100), -EPERM);
	assert_true(keep_write(f->dir, "a", "x", 1) < 0);
	assert_int_equal(keep_write(f->dir, "b", "x", 1), 0);
	assert_int_equal(chmod(path_of(f, "b"), 0640), 0);
	assert_int_equal(reads(f, "b", 100), -EPERM);
	assert_int_equal(chmod(path_of(f, "b"), 0600), 0);
	assert_int_equal(reads(f, "b", 100), 0);
}

static void test_a_folder_where_others_write(void **state)
{
	struct folder *f = *state;

	assert_int_equal(keep_write(f->dir, "a", "x", 1), 0);
	assert_int_equal(chmod(f->dir, 0777), 0);
	assert_int_equal(reads(f, "a", 100), -EPERM);
	assert_int_equal(keep_write(f->dir, "a", "y", 1), -EPERM);
	assert_int_equal(chmod(f->dir, 0755), 0);
	keeps(f, "a", "x");
}

static void test_strangers(void **state)
{
	struct folder *f = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(keep_write(f->dir, "a", "x", 1), 0);
	assert_int_equal(chown(path_of(f, "a"), 12345, 12345), 0);
	assert_int_equal(reads(f, "a", 100), -EPERM);
	assert_int_equal(chown(path_of(f, "a"), 0, 0), 0);
	assert_int_equal(chown(f->dir, 12345, 12345), 0);
	assert_int_equal(reads(f, "a", 100), -EPERM);
	assert_int_equal(keep_write(f->dir, "a", "y", 1), -EPERM);
}

static void test_nothing_there(void **state)
{
	struct folder *f = *state;

	assert_int_equal(keep_write(f->dir, "a", "", 0), 0);
	assert_int_equal(reads(f, "a", 100), -ENODATA);
	assert_int_equal(keep_write("/nonexistent/folder", "a", "x", 1), -ENOENT);
}

static void test_no_room(void **state)
{
	char *big = calloc(1, 1 << 20);

	(void)state;
	assert_non_null(big);
	assert_true(keep_write("/proc/self", "a", big, 1 << 20) < 0);
	free(big);
}

static void test_the_folder_is_made_once(void **state)
{
	struct folder *f = *state;
	struct stat    st;

	assert_int_equal(keep_make(path_of(f, "a"), (uid_t)-1, (gid_t)-1), 0);
	assert_int_equal(stat(path_of(f, "a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(keep_make(path_of(f, "a"), (uid_t)-1, (gid_t)-1), 0);
	assert_int_equal(keep_make("/nonexistent/folder/below", (uid_t)-1, (gid_t)-1), -ENOENT);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_folder(test_what_was_written_is_read),
		in_folder(test_the_old_one_stays_whole_for_who_has_it_open),
		in_folder(test_what_an_interrupted_writer_left_is_no_hindrance),
		in_folder(test_links_are_not_followed),
		in_folder(test_no_plain_file_and_none_that_others_read),
		in_folder(test_a_folder_where_others_write),
		in_folder(test_strangers),
		in_folder(test_nothing_there),
		cmocka_unit_test(test_no_room),
		in_folder(test_the_folder_is_made_once),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
