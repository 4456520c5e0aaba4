/* The log file of a run: see settings_open_log(). */
#include "launcher/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/cleanup.h"

/* Makes `path` (its `/` are cut and restored) and whatever is missing above it, as mkdir -p does. */
static int make_directories(char *path)
{
	for (char *at = path + 1;; at++) {
		char saved = *at;

		if (saved != '/' && saved != '\0')
			continue;
		*at = '\0';
		/* Of what exists, some file systems say EACCES or EROFS first. */
		if (mkdir(path, 0700) < 0 && errno != EEXIST) {
			int code = errno;

			if (access(path, F_OK) < 0)
				return -code;
		}
		*at = saved;
		if (saved == '\0')
			return 0;
	}
}

static int open_directory(const char *path)
{
	char copy[4096];
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	r = make_directories(copy);
	if (r < 0)
		return r;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int settings_open_log(const struct settings *settings, struct error *e)
{
	_cleanup_fd_ int dir = -1;
	char stamp[32], name[80];
	time_t now = time(NULL);
	struct tm local;
	int fd;

	if (!settings->log_dir) {
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? error_errno(e, errno, "cannot log to standard error") : fd;
	}
	dir = open_directory(settings->log_dir);
	if (dir < 0)
		return error_errno(e, -dir, "cannot open or make the log directory %s", settings->log_dir);
	if (!localtime_r(&now, &local) || strftime(stamp, sizeof(stamp), "%Y-%m-%d_%H-%M-%S", &local) == 0)
		return error_set(e, EOVERFLOW, "the clock is out of range");
	snprintf(name, sizeof(name), "boundary-%s-%ld.log", stamp, (long)getpid());
	fd = openat(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(e, errno, "cannot make the log file %s/%s", settings->log_dir, name);
	return fd;
}
