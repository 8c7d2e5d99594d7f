/* disk.h - changes of the disk that survive a crash, for fs.c.  Each is true, or false with what
 * went wrong in a zeroed struct trouble. */
#ifndef EB_DISK_H
#define EB_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct access {
	mode_t mode;
	uid_t uid; /* -1: as it comes */
	gid_t gid;
};

/* What went wrong, kept until no resource is held any more. */
struct trouble {
	const char *step;
	int error; /* 0: step says all */
};

/* open(2), never inherited by children and never a controlling terminal; a new file is 0600. */
int disk_open(const char *path, int flags);

/* Put a file with these bytes in the place of path, or of what path links to. */
bool disk_write(
    const char *path, const char *data, size_t n, const struct access *a, struct trouble *t);

/* All of disk_write but its last step: nothing is changed, and nothing is left behind. */
bool disk_rehearse(
    const char *path, const char *data, size_t n, const struct access *a, struct trouble *t);

/* Put a file with these bytes at path if nothing has that name, a link neither: whole or not at
 * all, and of many who do it at once, on a file system that is shared too, one does. */
bool disk_create(
    const char *path, const char *data, size_t n, const struct access *a, struct trouble *t);

/* Make a directory and its parents; one that exists is left as it is. */
bool disk_mkdir(const char *path, const struct access *a, struct trouble *t);

/* Rename, never replacing anything. */
bool disk_rename(const char *from, const char *to, struct trouble *t);

/* Remove a file or a link; missing is fine. */
bool disk_remove(const char *path, struct trouble *t);

#endif
