/*
 * Preloaded into what tests/valgrind runs: system calls that valgrind does not know.
 *
 * seccomp(2): a filter would hit valgrind's own system calls, so it is looked at, as the kernel would read it, and not
 * loaded. ioctl_ns(2): what it writes is there.
 */
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/nsfs.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <valgrind/memcheck.h>

static void look_at(const struct sock_fprog *program)
{
	(void)VALGRIND_CHECK_MEM_IS_DEFINED(&program->len, sizeof(program->len));
	(void)VALGRIND_CHECK_MEM_IS_DEFINED(program->filter, program->len * sizeof(*program->filter));
}

long syscall(long number, ...)
{
	long (*next)(long, ...) = dlsym(RTLD_NEXT, "syscall");
	long arguments[6];
	va_list list;

	va_start(list, number);
	for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number != SYS_seccomp)
		return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
	look_at((const struct sock_fprog *)arguments[2]);
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
	void *argument;
	va_list list;
	int r;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	r = next(fd, request, argument);
	if (r >= 0 && request == NS_GET_OWNER_UID)
		(void)VALGRIND_MAKE_MEM_DEFINED(argument, sizeof(uid_t));
	return r;
}
