/*
 * A compiled filter: libseccomp's own loader allocates memory and so cannot be used between fork and exec; what it
 * exports can, with one prctl(2).
 */
#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/seccomp/program.h"
#include "shared/cleanup.h"

void seccomp_filter_release(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
	*filter = NULL;
}

/* The size of the program in `fd`, in bytes, or -errno. */
static ssize_t program_size(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size <= 0 || (size_t)status.st_size % sizeof(struct sock_filter) != 0)
		return -EBADMSG;
	if ((size_t)status.st_size / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return -E2BIG;
	return (ssize_t)status.st_size;
}

static int program_read(int fd, struct seccomp_program **ret)
{
	ssize_t size = program_size(fd);
	struct seccomp_program *program;
	ssize_t n;

	if (size < 0)
		return (int)size;
	program = malloc(sizeof(*program) + (size_t)size);
	if (!program)
		return -ENOMEM;
	n = pread(fd, program->instructions, (size_t)size, 0);
	if (n != size) {
		int r = n < 0 ? -errno : -EIO;

		free(program);
		return r;
	}
	program->bpf.len = (unsigned short)((size_t)size / sizeof(struct sock_filter));
	program->bpf.filter = program->instructions;
	*ret = program;
	return 0;
}

int seccomp_program_from_filter(scmp_filter_ctx filter, struct seccomp_program **ret, struct error *e)
{
	_cleanup_fd_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return error_errno(e, errno, "cannot make a memory file for the system call filter");
	r = seccomp_export_bpf(filter, fd);
	if (r < 0)
		return error_errno(e, -r, "libseccomp cannot compile the system call filter");
	r = program_read(fd, ret);
	if (r < 0)
		return error_errno(e, -r, "cannot read the compiled system call filter back");
	return 0;
}

int seccomp_program_load(const struct seccomp_program *program)
{
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program->bpf, 0, 0) < 0)
		return -errno;
	return 0;
}

void seccomp_program_free(struct seccomp_program *program)
{
	free(program);
}
