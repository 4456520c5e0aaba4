/*
 * The session's private directory, for the few files the command must be able to open: boundary-session-XXXXXX, mode
 * 0700, in XDG_RUNTIME_DIR or TMPDIR. It is locked (flock(2)) while the session lives, which tells a sweeper that it is
 * not stale. The command runs as the same user and may do anything to it: we work through descriptors, never follow a
 * symbolic link and remove nothing but our own file names.
 */
#pragma once

#include <stddef.h>
#include <limits.h>

#include "shared/error.h"

#define SESSION_DIR_MIN_AGE_SECONDS 10 /* younger ones are not swept, locked or not */

enum session_file {
	SESSION_FILE_CA_BUNDLE,  /* ca-bundle.pem */
	SESSION_FILE_TRUSTSTORE, /* truststore.p12 */
	SESSION_FILE_HOSTS,      /* hosts */
	SESSION_FILE_COUNT
};

struct session_dir {
	int base_fd; /* the directory it is in */
	int fd;      /* itself; holds the lock */
	char name[32];
	char path[PATH_MAX]; /* absolute */
};

/* For variables before session_dir_create(), so that session_dir_close() may run on them. */
#define SESSION_DIR_NONE ((struct session_dir){ .base_fd = -1, .fd = -1 })

/*
 * Makes and locks a directory in `runtime_dir` ($XDG_RUNTIME_DIR) if that is an absolute path to a directory of ours
 * that nobody else may enter, else in `temporary_dir` ($TMPDIR), else (NULL, empty or relative) in /tmp. Descriptors
 * are close-on-exec. Returns 0 or -errno with *e; *ret is written only on success. End: session_dir_remove().
 */
int session_dir_create(const char *runtime_dir, const char *temporary_dir, struct session_dir *ret, struct error *e);

/*
 * Writes a new file, mode 0444 (the directory keeps others out; bind mounts of the file are for every user in the
 * jail). Returns 0; -EEXIST if it is there already; -errno of openat(2) or write(2); all with *e.
 */
int session_dir_write(const struct session_dir *dir, enum session_file file, const void *data, size_t length,
		      struct error *e);

/*
 * Writes ca-bundle.pem: our certificate pem[0..length), then all of `system_bundle` from its start (-1: none; the
 * descriptor stays the caller's, its offset is not used or changed). Returns as session_dir_write(), also -errno of
 * pread(2).
 */
int session_dir_write_bundle(const struct session_dir *dir, const char *pem, size_t length, int system_bundle,
			     struct error *e);

/* The absolute path of a file into ret[PATH_MAX]. Returns ret. */
const char *session_dir_path(const struct session_dir *dir, enum session_file file, char ret[PATH_MAX]);

/*
 * Removes the directories of dead sessions of this user beside *dir: not locked, ours, older than
 * SESSION_DIR_MIN_AGE_SECONDS; of each only our files, and it itself if then empty. Returns how many went, or -errno.
 */
int session_dir_sweep(const struct session_dir *dir);

/*
 * Removes our files and the directory and closes it. Returns 0, -ENOTEMPTY if the command left files of its own there,
 * or -errno; *dir is closed in any case. Does nothing on SESSION_DIR_NONE.
 */
int session_dir_remove(struct session_dir *dir);

/* Closes the descriptors (and with the last copy, unlocks) without removing anything: for a child process. */
void session_dir_close(struct session_dir *dir);
