/* See helper_faults.h. What is not counted goes to the next definition of the name: the sanitizer's, or libc's. */
#include "tests/unit/helper_faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 256

static const struct fault *fault;
static struct fault_record *record; /* NULL while nothing is counted */
static int peer = -1;
static bool is_open[DESCRIPTORS_MAX];
static int refused; /* errno of the answer to a request that was not sent */

/* The next definition of a function, looked up once. */
#define NEXT(name)                                                                       \
	__extension__({                                                                  \
		static __typeof__(&(name)) next_;                                        \
		if (!next_)                                                              \
			next_ = (__typeof__(&(name)))(uintptr_t)dlsym(RTLD_NEXT, #name); \
		next_;                                                                   \
	})

/* True if this call, which is one of `kind`, is to fail; errno is set. */
static bool fails(enum fault_kind kind, const char *call)
{
	if (!record || ++record->points[kind] != fault->number || kind != fault->kind)
		return false;
	record->injected = true;
	strncpy(record->call, call, sizeof(record->call) - 1);
	errno = fault->error;
	return true;
}

static int opened(int fd)
{
	if (record && fd >= 0 && fd < DESCRIPTORS_MAX) {
		is_open[fd] = true;
		record->open_descriptors++;
	}
	return fd;
}

static void closed(int fd, int r)
{
	if (r < 0 || fd < 0 || fd >= DESCRIPTORS_MAX || !is_open[fd]) {
		record->strange_closes++;
		return;
	}
	is_open[fd] = false;
	record->open_descriptors--;
}

void faults_begin(const struct fault *chosen, struct fault_record *into, int socket)
{
	memset(into, 0, sizeof(*into));
	memset(is_open, 0, sizeof(is_open));
	fault = chosen;
	peer = socket;
	refused = 0;
	record = into;
}

void faults_end(void)
{
	record = NULL;
}

/* Memory ------------------------------------------------------------------------------------------------------------
 */

static struct {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *block, size_t size);
	void (*free)(void *block);
} next;

/* dlsym(3) may itself allocate and free. */
static _Alignas(16) char early[4096];
static size_t early_used;
static bool looking_up;

/* False while it is at it. */
static bool look_up(void)
{
	if (looking_up || next.free)
		return !looking_up;
	looking_up = true;
	next.malloc = (void *(*)(size_t))(uintptr_t)dlsym(RTLD_NEXT, "malloc");
	next.calloc = (void *(*)(size_t, size_t))(uintptr_t)dlsym(RTLD_NEXT, "calloc");
	next.realloc = (void *(*)(void *, size_t))(uintptr_t)dlsym(RTLD_NEXT, "realloc");
	next.free = (void (*)(void *))(uintptr_t)dlsym(RTLD_NEXT, "free");
	looking_up = false;
	return true;
}

static void *early_block(size_t size)
{
	void *block = early + early_used;

	early_used += (size + 15) & ~(size_t)15;
	if (early_used > sizeof(early))
		abort();
	return block;
}

static bool is_early(const void *block)
{
	return (const char *)block >= early && (const char *)block < early + sizeof(early);
}

static void *count_block(void *block)
{
	if (record && block)
		record->live_blocks++;
	return block;
}

void *malloc(size_t size)
{
	if (!look_up())
		return early_block(size);
	return fails(FAULT_ALLOCATION, "malloc") ? NULL : count_block(next.malloc(size));
}

void *calloc(size_t count, size_t size)
{
	if (!look_up())
		return early_block(count * size);
	return fails(FAULT_ALLOCATION, "calloc") ? NULL : count_block(next.calloc(count, size));
}

void *realloc(void *block, size_t size)
{
	if (!look_up())
		abort();
	if (fails(FAULT_ALLOCATION, "realloc"))
		return NULL;
	return block ? next.realloc(block, size) : count_block(next.realloc(NULL, size));
}

void free(void *block)
{
	if (!block || is_early(block) || !look_up())
		return;
	if (record)
		record->live_blocks--;
	next.free(block);
}

/* Descriptors -------------------------------------------------------------------------------------------------------
 */

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return fails(FAULT_DESCRIPTOR, "open") ? -1 : opened(NEXT(open)(path, flags, mode));
}

FILE *fopen(const char *path, const char *mode)
{
	FILE *file = fails(FAULT_DESCRIPTOR, "fopen") ? NULL : NEXT(fopen)(path, mode);

	if (file)
		(void)opened(fileno(file));
	return file;
}

int fclose(FILE *file)
{
	int fd = fileno(file), r = NEXT(fclose)(file);

	if (record)
		closed(fd, r);
	return r;
}

int socket(int domain, int type, int protocol)
{
	if (fails(FAULT_DESCRIPTOR, "socket"))
		return -1;
	return opened(NEXT(socket)(domain, type, protocol));
}

int socketpair(int domain, int type, int protocol, int pair[2])
{
	int r = fails(FAULT_DESCRIPTOR, "socketpair") ? -1 : NEXT(socketpair)(domain, type, protocol, pair);

	for (int i = 0; r == 0 && i < 2; i++)
		(void)opened(pair[i]);
	return r;
}

int close(int fd)
{
	bool failed = fails(FAULT_DESCRIPTOR, "close");
	int r = NEXT(close)(fd);

	if (record)
		closed(fd, r);
	/* It is closed all the same (close(2)): whoever tries again closes somebody else's. */
	if (failed)
		errno = fault->error;
	return failed ? -1 : r;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int r;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	/* For the number of an interface that is there the kernel has no error (net/core/dev_ioctl.c). */
	if (request != SIOCGIFINDEX && fails(FAULT_DESCRIPTOR, "ioctl"))
		return -1;
	r = NEXT(ioctl)(fd, request, argument);
	return request == NS_GET_USERNS || request == NS_GET_PARENT || request == SIOCGSKNS ? opened(r) : r;
}

int fstat(int fd, struct stat *ret)
{
	return fails(FAULT_DESCRIPTOR, "fstat") ? -1 : NEXT(fstat)(fd, ret);
}

int fstatfs(int fd, struct statfs *ret)
{
	return fails(FAULT_DESCRIPTOR, "fstatfs") ? -1 : NEXT(fstatfs)(fd, ret);
}

ssize_t read(int fd, void *ret, size_t size)
{
	return fails(FAULT_DESCRIPTOR, "read") ? -1 : NEXT(read)(fd, ret, size);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	return fails(FAULT_DESCRIPTOR, "write") ? -1 : NEXT(write)(fd, bytes, length);
}

int dup(int fd)
{
	return fails(FAULT_DESCRIPTOR, "dup") ? -1 : opened(NEXT(dup)(fd));
}

int getgroups(int n, gid_t *ret)
{
	return fails(FAULT_DESCRIPTOR, "getgroups") ? -1 : NEXT(getgroups)(n, ret);
}

/* Privileges --------------------------------------------------------------------------------------------------------
 */

int capset(cap_user_header_t header, const cap_user_data_t data)
{
	return fails(FAULT_PRIVILEGE, "capset") ? -1 : NEXT(capset)(header, data);
}

int prctl(int option, ...)
{
	va_list arguments;
	unsigned long a[4];

	va_start(arguments, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(arguments, unsigned long);
	va_end(arguments);
	return fails(FAULT_PRIVILEGE, "prctl") ? -1 : NEXT(prctl)(option, a[0], a[1], a[2], a[3]);
}

long syscall(long number, ...)
{
	va_list arguments;
	long a[6];

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (fails(FAULT_PRIVILEGE, "syscall"))
		return -1;
	return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Netlink -----------------------------------------------------------------------------------------------------------
 */

/* What is gone cannot be there: a kernel that refuses with this would lie. */
static bool is_plausible(const struct nlmsghdr *message)
{
	bool makes = message->nlmsg_type != RTM_DELLINK && (message->nlmsg_flags & NLM_F_CREATE);

	return makes || fault->error != ENODEV;
}

/* Returns true if the request is not to be sent; then *ret is what sending it returns. */
static bool intercept(const void *request, size_t length, ssize_t *ret)
{
	*ret = -1;
	if (!record || !is_plausible(request))
		return false;
	if (fails(FAULT_REQUEST, "netlink request"))
		return true;
	if (!fails(FAULT_REFUSAL, "refused request"))
		return false;
	refused = fault->error;
	*ret = (ssize_t)length;
	return true;
}

/* Notes how far it came, so that faults behind an answer can be told from those before. */
static void note_answer(void)
{
	if (record->n_answers < FAULT_ANSWERS)
		memcpy(record->answered[record->n_answers], record->points, sizeof(record->points));
	record->n_answers++;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t r;

	if (record && fd == peer) {
		if (fails(FAULT_MESSAGE, "sendmsg"))
			return -1;
		note_answer();
	} else if (record && intercept(message->msg_iov[0].iov_base, 0, &r)) {
		return r;
	}
	return NEXT(sendmsg)(fd, message, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
	ssize_t r;

	return record && intercept(bytes, length, &r) ? r : NEXT(sendto)(fd, bytes, length, flags, to, to_length);
}

static ssize_t answer_refusal(void *ret)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr status;
	} answer = { .header = { .nlmsg_len = sizeof(answer), .nlmsg_type = NLMSG_ERROR },
		     .status = { .error = -refused } };

	refused = 0;
	memcpy(ret, &answer, sizeof(answer));
	return sizeof(answer);
}

ssize_t recv(int fd, void *ret, size_t size, int flags)
{
	if (!record)
		return NEXT(recv)(fd, ret, size, flags);
	if (fails(FAULT_ANSWER, "recv"))
		return -1;
	if (refused)
		return answer_refusal(ret);
	if (fails(FAULT_LOSS, "lost answer")) {
		(void)NEXT(recv)(fd, ret, size, flags);
		errno = ENOBUFS;
		return -1;
	}
	return NEXT(recv)(fd, ret, size, flags);
}

/* The conversation --------------------------------------------------------------------------------------------------
 */

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t r;

	if (record && fails(FAULT_MESSAGE, "recvmsg"))
		return -1;
	r = NEXT(recvmsg)(fd, message, flags);
	if (!record || r < 0)
		return r;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int received;

			memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			(void)opened(received);
		}
	}
	return r;
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return record && fails(FAULT_MESSAGE, "poll") ? -1 : NEXT(poll)(fds, n, timeout);
}
