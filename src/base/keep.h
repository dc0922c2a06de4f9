/* keep.h - small files that outlive the process: what was learned, and is worth having at the next start.
 *
 * They lie in one folder, each with mode 0600, and are replaced by rename, so
 * that a reader finds the old one or the new one whole.  Nothing here is
 * needed: who finds no file, or one that may not be believed, starts without.
 * Blocks for as long as the file system does: not for worker threads.
 */
#ifndef LARDER_BASE_KEEP_H
#define LARDER_BASE_KEEP_H

#include <stddef.h>

#include <sys/types.h>

/* Makes the folder (0700, not its parents) where there is none and gives it to uid and gid, -1 being who we are;
 * call it while still root.  0, also when it is there already, or a negative errno. */
int keep_make(const char *dir, uid_t uid, gid_t gid);

/* Reads a file whole: heap octets with a NUL behind them, the caller's, of at least 1 octet.
 * -ENOENT: there is none; -EPERM: somebody else may have written it, or read it: it or its folder belongs to
 * another, others may write there, or it is no plain file; -EFBIG: longer than max; -ENODATA: empty; or another. */
int keep_read(const char *dir, const char *name, size_t max, char **data, size_t *len);

/* Replaces the file, or leaves the old one.  0 or a negative errno; -EPERM as above, of the folder.  After a crash
 * of the host it may be empty: waiting for the disk is not worth it. */
int keep_write(const char *dir, const char *name, const void *data, size_t len);

#endif
