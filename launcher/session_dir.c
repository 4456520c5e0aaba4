/*
 * The private directory of a session: see session_dir.h. A name becomes visible before its lock is taken, so a sweeper
 * may hold the lock of a fresh directory for a moment: it leaves young ones alone, and a creator whose directory is
 * locked or gone takes another name.
 */
#include "launcher/session_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "shared/cleanup.h"

#define NAME_PREFIX "boundary-session-"
#define NAME_RANDOM 6
#define NAME_ATTEMPTS 64
#define SWEEP_ENTRIES_MAX 100000 /* of the base directory, which anyone may fill if it is /tmp */
#define BUNDLE_SIZE_MAX (64u << 20)
#define OVERFLOW_UID 65534 /* of those not mapped (user_namespaces(7)) */

static const char *const file_names[SESSION_FILE_COUNT] = {
	[SESSION_FILE_CA_BUNDLE] = "ca-bundle.pem",
	[SESSION_FILE_TRUSTSTORE] = "truststore.p12",
	[SESSION_FILE_HOSTS] = "hosts",
};

static int open_directory(int at, const char *name, int flags)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | flags);

	return fd < 0 ? -errno : fd;
}

/* XDG_RUNTIME_DIR as the specification wants it: absolute, ours and closed to others. Returns a descriptor or -1. */
static int open_runtime_dir(const char *path)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	if (!path || path[0] != '/' || strlen(path) > PATH_MAX - 64)
		return -1;
	fd = open_directory(AT_FDCWD, path, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return -1;
	return take_fd(&fd);
}

/* Nobody but its owner, root and us may be able to rename what we make there. */
static int open_temporary_dir(const char *path, struct error *e)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	if (strlen(path) > PATH_MAX - 64)
		return error_set(e, ENAMETOOLONG, "TMPDIR is too long a path");
	fd = open_directory(AT_FDCWD, path, 0);
	if (fd < 0)
		return error_errno(e, -fd, "cannot open the directory for temporary files %s", path);
	if (fstat(fd, &st) < 0)
		return error_errno(e, errno, "%s", path);
	if (st.st_uid == OVERFLOW_UID && geteuid() != OVERFLOW_UID)
		return error_set(
			e, EPERM,
			"%s belongs to a user whom this user namespace does not know, perhaps root: set TMPDIR or "
			"XDG_RUNTIME_DIR to a directory of your own",
			path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(e, EPERM, "%s belongs to another user: set TMPDIR to a directory of your own", path);
	if ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0)
		return error_set(
			e, EPERM,
			"others may rename files in %s: set its sticky bit (chmod +t) or set TMPDIR to a directory of "
			"your own",
			path);
	return take_fd(&fd);
}

static int random_name(char ret[32])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	unsigned char bytes[NAME_RANDOM];
	char *at = stpcpy(ret, NAME_PREFIX);

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		*at++ = letters[bytes[i] % (sizeof(letters) - 1)];
	*at = '\0';
	return 0;
}

/*
 * Opens directory `name` in `base` and takes its lock. Returns the descriptor; -ENOENT if it is gone; -EWOULDBLOCK if
 * it is locked; -EPERM if it is not ours.
 */
static int open_locked(int base, const char *name, struct stat *ret)
{
	_cleanup_fd_ int fd = open_directory(base, name, O_NOFOLLOW);

	if (fd < 0)
		return fd;
	if (fstat(fd, ret) < 0)
		return -errno;
	if (ret->st_uid != geteuid())
		return -EPERM;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	/* The one before us may have removed it. */
	if (fstat(fd, ret) < 0)
		return -errno;
	if (ret->st_nlink == 0)
		return -ENOENT;
	return take_fd(&fd);
}

static int make_locked(int base, char ret_name[32])
{
	int r = -EAGAIN;

	for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
		struct stat st;

		r = random_name(ret_name);
		if (r < 0)
			return r;
		if (mkdirat(base, ret_name, 0700) < 0) {
			if (errno != EEXIST)
				return -errno;
			continue;
		}
		r = open_locked(base, ret_name, &st);
		if (r >= 0)
			return r;
		unlinkat(base, ret_name, AT_REMOVEDIR);
		if (r != -EWOULDBLOCK && r != -ENOENT)
			return r;
	}
	return r;
}

int session_dir_create(const char *runtime_dir, const char *temporary_dir, struct session_dir *ret, struct error *e)
{
	const char *base = runtime_dir;
	_cleanup_fd_ int base_fd = open_runtime_dir(runtime_dir);
	char name[32];
	int fd;

	if (base_fd < 0) {
		base = temporary_dir && temporary_dir[0] == '/' ? temporary_dir : "/tmp";
		base_fd = open_temporary_dir(base, e);
		if (base_fd < 0)
			return base_fd;
	}
	fd = make_locked(base_fd, name);
	if (fd < 0)
		return error_errno(e, -fd, "cannot make the session's directory in %s", base);
	*ret = (struct session_dir){ .base_fd = take_fd(&base_fd), .fd = fd };
	memcpy(ret->name, name, sizeof(name));
	snprintf(ret->path, sizeof(ret->path), "%s/%s", base, name);
	return 0;
}

const char *session_dir_path(const struct session_dir *dir, enum session_file file, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%.*s/%s", PATH_MAX - 32, dir->path, file_names[file]);
	return ret;
}

static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* Our descriptor writes although the mode is read-only; umask(2) would cut the mode at creation. */
static int create_file(const struct session_dir *dir, enum session_file file, struct error *e)
{
	_cleanup_fd_ int fd =
		openat(dir->fd, file_names[file], O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || fchmod(fd, 0444) < 0)
		return error_errno(e, errno, "cannot make %s/%s", dir->path, file_names[file]);
	return take_fd(&fd);
}

int session_dir_write(const struct session_dir *dir, enum session_file file, const void *data, size_t length,
		      struct error *e)
{
	_cleanup_fd_ int fd = create_file(dir, file, e);
	int r;

	if (fd < 0)
		return fd;
	r = write_all(fd, data, length);
	return r < 0 ? error_errno(e, -r, "cannot write %s/%s", dir->path, file_names[file]) : 0;
}

/* All of `from` to the end of `to`; a file that ends without a newline gets one, as PEM has to begin on a new line. */
static int copy_all(int from, int to)
{
	char buffer[16384];
	off_t offset = 0;

	while (offset < BUNDLE_SIZE_MAX) {
		ssize_t n = pread(from, buffer, sizeof(buffer), offset);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = write_all(to, buffer, (size_t)n);
		if (r < 0)
			return r;
		offset += n;
	}
	return -EFBIG;
}

int session_dir_write_bundle(const struct session_dir *dir, const char *pem, size_t length, int system_bundle,
			     struct error *e)
{
	_cleanup_fd_ int fd = create_file(dir, SESSION_FILE_CA_BUNDLE, e);
	int r;

	if (fd < 0)
		return fd;
	r = write_all(fd, pem, length);
	if (r == 0 && length > 0 && pem[length - 1] != '\n')
		r = write_all(fd, "\n", 1);
	if (r < 0)
		return error_errno(e, -r, "cannot write %s/%s", dir->path, file_names[SESSION_FILE_CA_BUNDLE]);
	r = system_bundle < 0 ? 0 : copy_all(system_bundle, fd);
	return r < 0 ? error_errno(e, -r, "cannot copy the system's CA bundle to %s", dir->path) : 0;
}

/* Our files, and the directory where it is still the one under its name and empty. */
static int remove_contents(int base, int fd, const char *name)
{
	struct stat own, named;

	for (size_t i = 0; i < SESSION_FILE_COUNT; i++)
		unlinkat(fd, file_names[i], 0);
	if (fstat(fd, &own) < 0 || fstatat(base, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (own.st_dev != named.st_dev || own.st_ino != named.st_ino)
		return -ENOENT;
	return unlinkat(base, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static bool is_session_name(const char *name)
{
	size_t prefix = strlen(NAME_PREFIX);

	return strncmp(name, NAME_PREFIX, prefix) == 0 && strlen(name) == prefix + NAME_RANDOM;
}

/* True if that directory was a dead session's and is gone now. */
static bool sweep_one(int base, const char *name)
{
	struct stat st;
	_cleanup_fd_ int fd = open_locked(base, name, &st);

	/* ctime, which utimensat(2) cannot set back. */
	if (fd < 0 || st.st_ctime > time(NULL) - SESSION_DIR_MIN_AGE_SECONDS)
		return false;
	return remove_contents(base, fd, name) == 0;
}

int session_dir_sweep(const struct session_dir *dir)
{
	int fd = open_directory(dir->base_fd, ".", 0);
	struct dirent *entry;
	int removed = 0;
	DIR *list;

	if (fd < 0)
		return fd;
	list = fdopendir(fd);
	if (!list) {
		int code = errno;

		close(fd);
		return -code;
	}
	for (size_t n = 0; n < SWEEP_ENTRIES_MAX && (entry = readdir(list)); n++)
		if (is_session_name(entry->d_name) && strcmp(entry->d_name, dir->name) != 0)
			removed += sweep_one(dir->base_fd, entry->d_name);
	closedir(list);
	return removed;
}

int session_dir_remove(struct session_dir *dir)
{
	int r = dir->fd < 0 ? 0 : remove_contents(dir->base_fd, dir->fd, dir->name);

	session_dir_close(dir);
	return r;
}

void session_dir_close(struct session_dir *dir)
{
	close_fd(&dir->fd);
	close_fd(&dir->base_fd);
}
