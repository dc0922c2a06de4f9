/* alloc_fail.c - the n-th allocation fails, for every n. */
#include "alloc_fail.h"

#include "unit.h"

#include <errno.h>
#include <sys/mman.h>

#define ROUNDS_MAX 10000

static unsigned countdown;	/* 0: nothing fails */
static bool     failed, paused;
static long     live;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *text);
void  __real_free(void *p);
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
int   __real_munmap(void *at, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *text);
void  __wrap_free(void *p);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
int   __wrap_munmap(void *at, size_t len);

static bool fail_now(void)
{
	if (paused || !countdown || --countdown)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

static void *counted(void *p)
{
	live += p != NULL;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return fail_now() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fail_now() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	void *moved = fail_now() ? NULL : __real_realloc(p, size);

	live += moved && !p;
	return moved;
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fail_now() ? NULL : counted(__real_aligned_alloc(align, size));
}

char *__wrap_strdup(const char *text)
{
	return fail_now() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *region = fail_now() ? MAP_FAILED : __real_mmap(at, len, prot, flags, fd, offset);

	live += region != MAP_FAILED;
	return region;
}

int __wrap_munmap(void *at, size_t len)
{
	int err = __real_munmap(at, len);

	live -= err == 0;
	return err;
}

void alloc_fail_at(unsigned n)
{
	countdown = n;
	failed = false;
}

void alloc_fail_pause(bool pause)
{
	paused = pause;
}

bool alloc_failed(void)
{
	return failed;
}

long alloc_live(void)
{
	return live;
}

unsigned alloc_fail_each(bool (*run)(void *arg), void *arg)
{
	for (unsigned n = 1; n < ROUNDS_MAX; n++) {
		long before = live;
		bool good;

		alloc_fail_at(n);
		good = run(arg);
		countdown = 0;
		if (good == failed)
			fail_msg("allocation %u %s, the run %s", n, failed ? "failed" : "did not fail",
			         good ? "succeeded" : "did not");
		if (live != before)
			fail_msg("after run %u, %ld blocks were left", n, live - before);
		if (!failed)
			return n - 1;
	}
	fail_msg("no end of allocations");
	return 0;
}
