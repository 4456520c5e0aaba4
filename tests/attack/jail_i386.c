/* The i386 ABI, which an x86-64 process enters by int $0x80: the same attacks by other numbers. Pointers need 32 bits.
 */
#include "tests/attack/jail_attempt.h"

#include "tests/attack/tap.h"

#if defined(__x86_64__)

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* arch/x86/entry/syscalls/syscall_32.tbl */
enum i386_call {
	I386_GETPID = 20,
	I386_MOUNT = 21,
	I386_UMOUNT = 22,
	I386_IOCTL = 54,
	I386_CHROOT = 61,
	I386_SOCKETCALL = 102,
	I386_CLONE = 120,
	I386_KEYCTL = 288,
	I386_UNSHARE = 310,
	I386_OPEN_BY_HANDLE_AT = 342,
	I386_SETNS = 346,
	I386_BPF = 357,
	I386_SOCKET = 359,
	I386_SOCKETPAIR = 360,
	I386_USERFAULTFD = 374,
	I386_IO_URING_SETUP = 425,
	I386_CLONE3 = 435,
};

/* Returns 0 or an errno value. */
static int i386(enum i386_call number, uint32_t a0, uint32_t a1, uint32_t a2)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"((long)number), "b"((uint64_t)a0), "c"((uint64_t)a1), "d"((uint64_t)a2)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result < 0 ? -(int)result : 0;
}

/* A zeroed page with an address of 32 bits, for arguments in memory; 0 if there is none. */
static uint32_t low_page(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	return page == MAP_FAILED ? 0 : (uint32_t)(uintptr_t)page;
}

static int vsock(void)
{
	return i386(I386_SOCKET, AF_VSOCK, SOCK_STREAM, 0);
}

static int packet(void)
{
	return i386(I386_SOCKET, AF_PACKET, SOCK_RAW, 0x0300);
}

static int raw(void)
{
	return i386(I386_SOCKET, AF_INET, SOCK_RAW, 0);
}

static int udplite(void)
{
	return i386(I386_SOCKET, AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
}

static int netfilter(void)
{
	return i386(I386_SOCKET, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}

static int tipc_pair(void)
{
	return i386(I386_SOCKETPAIR, 30 /* AF_TIPC */, SOCK_STREAM, 0);
}

/* The real arguments lie in memory, where no filter can look. */
static int socketcall(uint32_t family, uint32_t type)
{
	uint32_t page = low_page();
	uint32_t arguments[3] = { family, type, 0 };

	if (!page)
		return ENOMEM;
	memcpy((void *)(uintptr_t)page, arguments, sizeof(arguments));
	return i386(I386_SOCKETCALL, 1 /* SYS_SOCKET */, page, 0);
}

static int socketcall_vsock(void)
{
	return socketcall(AF_VSOCK, SOCK_STREAM);
}

static int socketcall_inet(void)
{
	return socketcall(AF_INET, SOCK_DGRAM);
}

static int type_into_terminal(void)
{
	uint32_t page = low_page();

	return page ? i386(I386_IOCTL, STDIN_FILENO, TIOCSTI, page) : ENOMEM;
}

static int paste_into_console(void)
{
	uint32_t page = low_page();

	return page ? i386(I386_IOCTL, STDIN_FILENO, TIOCLINUX, page) : ENOMEM;
}

static int unshare_user(void)
{
	return i386(I386_UNSHARE, CLONE_NEWUSER, 0, 0);
}

static int clone_user(void)
{
	return i386(I386_CLONE, CLONE_NEWUSER | SIGCHLD, 0, 0);
}

static int clone_3(void)
{
	return i386(I386_CLONE3, 0, 88, 0);
}

static int join_namespace(void)
{
	return i386(I386_SETNS, (uint32_t)-1, 0, 0);
}

static int ring(void)
{
	uint32_t page = low_page();

	return page ? i386(I386_IO_URING_SETUP, 1, page, 0) : ENOMEM;
}

static int mount_something(void)
{
	return i386(I386_MOUNT, 0, 0, 0);
}

static int unmount_something(void)
{
	return i386(I386_UMOUNT, 0, 0, 0);
}

static int change_root(void)
{
	return i386(I386_CHROOT, 0, 0, 0);
}

static int keyring(void)
{
	return i386(I386_KEYCTL, 0, (uint32_t)-3, 0);
}

static int load_bpf(void)
{
	return i386(I386_BPF, 0, 0, 0);
}

static int open_by_handle(void)
{
	return i386(I386_OPEN_BY_HANDLE_AT, (uint32_t)-1, 0, 0);
}

static int fault_handler(void)
{
	return i386(I386_USERFAULTFD, 0, 0, 0);
}

static const struct attempt calls[] = {
	{ "i386: AF_VSOCK socket", vsock, EAFNOSUPPORT },
	{ "i386: AF_PACKET socket", packet, EAFNOSUPPORT },
	{ "i386: raw socket", raw, EPERM },
	{ "i386: UDP-Lite socket", udplite, EPROTONOSUPPORT },
	{ "i386: NETLINK_NETFILTER socket", netfilter, EPROTONOSUPPORT },
	{ "i386: AF_TIPC socket pair", tipc_pair, EAFNOSUPPORT },
	{ "i386: socketcall for AF_VSOCK", socketcall_vsock, ENOSYS },
	{ "i386: socketcall for AF_INET", socketcall_inet, ENOSYS },
	{ "i386: TIOCSTI", type_into_terminal, EPERM },
	{ "i386: TIOCLINUX", paste_into_console, EPERM },
	{ "i386: unshare of a user namespace", unshare_user, EPERM },
	{ "i386: clone into a user namespace", clone_user, EPERM },
	{ "i386: clone3", clone_3, ENOSYS },
	{ "i386: setns", join_namespace, EPERM },
	{ "i386: io_uring_setup", ring, ENOSYS },
	{ "i386: mount", mount_something, EPERM },
	{ "i386: umount", unmount_something, EPERM },
	{ "i386: chroot", change_root, EPERM },
	{ "i386: keyctl", keyring, EPERM },
	{ "i386: bpf", load_bpf, EPERM },
	{ "i386: open_by_handle_at", open_by_handle, EPERM },
	{ "i386: userfaultfd", fault_handler, EPERM },
};

/* Kernels without IA32 emulation answer int $0x80 with a fault. */
static int kernel_has_i386(void)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		signal(SIGSEGV, SIG_DFL); /* a sanitizer would report it */
		_exit(i386(I386_GETPID, 0, 0, 0) == 0 ? 1 : 0);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

void attempt_i386(void)
{
	if (kernel_has_i386())
		attempt_all(calls, sizeof(calls) / sizeof(calls[0]));
	else
		tap_skip("i386: all", "this kernel has no IA32 emulation");
}

#else

void attempt_i386(void)
{
	tap_skip("i386: all", "not an x86-64 machine");
}

#endif
