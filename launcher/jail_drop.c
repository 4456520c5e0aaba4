/* Giving up privileges: see jail_drop.h. */
#include "launcher/jail_drop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/cleanup.h"

/* Of Linux 6.12 and 5.19; headers may be older. */
#ifndef LANDLOCK_SCOPE_SIGNAL
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL (1ULL << 1)
#endif
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif

struct landlock_attributes {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* ABI 4 */
	uint64_t scoped;             /* ABI 6 */
};

static int clear_all_sets(void)
{
	cap_t none = cap_init();
	int r = 0;

	if (!none)
		return -ENOMEM;
	if (cap_set_proc(none) < 0)
		r = -errno;
	cap_free(none);
	return r;
}

int jail_drop_capabilities(struct error *e)
{
	const unsigned long securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
					 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
					 SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	int r;

	/* The kernel may know more capabilities than libcap; it answers EINVAL beyond its last one. */
	for (int cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) <= 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return error_errno(e, errno, "dropping capability %d from the bounding set", cap);
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_errno(e, errno, "clearing the ambient capabilities");
	if (prctl(PR_SET_SECUREBITS, securebits, 0, 0, 0) < 0)
		return error_errno(e, errno, "locking the securebits");
	r = clear_all_sets();
	if (r < 0)
		return error_errno(e, -r, "clearing the capability sets");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(e, errno, "setting no_new_privs");
	return 0;
}

int jail_reach_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? 0 : (int)version;
}

/*
 * A ruleset must handle something. Each refuses, unasked, to link and rename between directories
 * (LANDLOCK_ACCESS_FS_REFER), unless a rule permits that.
 */
static int permit_refer(int ruleset)
{
	_cleanup_fd_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_REFER,
							 .parent_fd = root };

	return root < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno
													     : 0;
}

int jail_drop_reach(int version)
{
	struct landlock_attributes attributes = { .scoped =
							  LANDLOCK_SCOPE_SIGNAL | LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET };
	size_t size = sizeof(attributes);
	_cleanup_fd_ int ruleset = -1;
	int r = 0;

	if (version < JAIL_REACH_TRACE)
		return 0;
	if (version < JAIL_REACH_SIGNAL) {
		attributes.handled_access_fs = LANDLOCK_ACCESS_FS_REFER;
		size = sizeof(attributes.handled_access_fs);
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
	if (ruleset < 0)
		return -errno;
	if (version < JAIL_REACH_SIGNAL)
		r = permit_refer(ruleset);
	if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = -errno;
	return r;
}
