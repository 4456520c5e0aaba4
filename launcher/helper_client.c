/* Requests to the helper: see helper_client.h. */
#include "launcher/helper_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "shared/cleanup.h"
#include "shared/log.h"
#include "shared/wire.h"

/* The helper keeps its own deadline; this one only bounds a stopped helper. */
#define ANSWER_TIMEOUT_MS (2 * HELPER_REQUEST_TIMEOUT_MS)

/* Why an executable with a file capability may still lack it (capabilities(7), "File capabilities"). */
static int explain_capability(const char *program, struct error *e)
{
	struct statvfs fs;
	struct stat file;
	char value[64];

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return error_set(e, EPERM,
				 "boundary-helper did not get CAP_NET_ADMIN because no_new_privs is set on this "
				 "process. Start boundary-launch outside "
				 "the sandbox that set it (docker: without --security-opt no-new-privileges; systemd: "
				 "NoNewPrivileges=no)");
	if (prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) == 0)
		return error_set(e, EPERM,
				 "boundary-helper did not get CAP_NET_ADMIN because the capability is not in this "
				 "container's bounding set. Start the container "
				 "with it: docker run --cap-add NET_ADMIN");
	if (statvfs(program, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		return error_set(e, EPERM,
				 "boundary-helper did not get CAP_NET_ADMIN because %s is on a file system mounted "
				 "nosuid. Install it on another "
				 "one, or remount that one with suid",
				 program);
	if (getxattr(program, "security.capability", value, sizeof(value)) < 0 &&
	    (stat(program, &file) < 0 || !(file.st_mode & S_ISUID)))
		return error_set(e, EPERM,
				 "boundary-helper has no file capability. Set it once: sudo setcap cap_net_admin=p %s",
				 program);
	return error_set(e, EPERM,
			 "boundary-helper did not get CAP_NET_ADMIN although %s has a file capability: it is not "
			 "cap_net_admin, or this user namespace may "
			 "not use it. Set it again from inside: sudo setcap cap_net_admin=p %s",
			 program, program);
}

/* What the administrator has set, or should. */
static int explain_settings(const struct helper_failed *failed, int code, struct error *e)
{
	const struct in_addr address = { htonl(failed->detail) };
	char text[INET_ADDRSTRLEN] = "";

	switch ((int)failed->failure) {
	case HELPER_FAILURE_CONFIG_FILE:
		return error_set(e, code,
				 "boundary-helper cannot read " HELPER_CONFIG_PATH
				 ": %s. Everybody must be able to: sudo chmod 644 " HELPER_CONFIG_PATH,
				 strerror(code));
	case HELPER_FAILURE_CONFIG_LINE:
		return error_set(e, code,
				 HELPER_CONFIG_PATH ":%u: this is no valid setting, or it is there twice. Until it is "
						    "corrected no session starts; see boundary-helper(8)",
				 failed->detail);
	case HELPER_FAILURE_GROUP:
		return error_set(
			e, code,
			"this user is not in the group that may use Boundary (allowed-group in " HELPER_CONFIG_PATH
			"). "
			"To join it: sudo gpasswd -a USER GROUP, then log in again");
	case HELPER_FAILURE_USER_SESSIONS:
		return error_set(e, code,
				 "this user has %u sessions, as many as a user may have. End one, or raise "
				 "sessions-per-uid in " HELPER_CONFIG_PATH,
				 failed->detail);
	case HELPER_FAILURE_ALL_SESSIONS:
		return error_set(e, code,
				 "there are %u sessions on this host, as many as there may be. End one, or raise "
				 "sessions-total in " HELPER_CONFIG_PATH,
				 failed->detail);
	case HELPER_FAILURE_POOL:
		return error_set(e, code,
				 "this host has an address or a route that includes %s, which the cables are to use. "
				 "Set pool in " HELPER_CONFIG_PATH " to a network that nobody uses",
				 inet_ntop(AF_INET, &address, text, sizeof(text)));
	default:
		return error_set(e, code,
				 "no free session: the addresses of the pool are used up. Set a larger pool "
				 "in " HELPER_CONFIG_PATH);
	}
}

static int explain_failure(const struct helper_failed *failed, const char *program, struct error *e)
{
	int code = failed->code > 0 ? failed->code : EIO;

	switch ((enum helper_failure)failed->failure) {
	case HELPER_FAILURE_CAPABILITY:
		return explain_capability(program, e);
	case HELPER_FAILURE_NOT_A_NETNS:
	case HELPER_FAILURE_FOREIGN_NETNS:
		return error_set(e, code,
				 "boundary-helper does not accept the jail's network namespace as this user's (%s). "
				 "The jail and the helper must "
				 "run as the same user",
				 strerror(code));
	case HELPER_FAILURE_NO_FREE_INDEX:
	case HELPER_FAILURE_CONFIG_FILE:
	case HELPER_FAILURE_CONFIG_LINE:
	case HELPER_FAILURE_GROUP:
	case HELPER_FAILURE_USER_SESSIONS:
	case HELPER_FAILURE_ALL_SESSIONS:
	case HELPER_FAILURE_POOL:
		return explain_settings(failed, code, e);
	case HELPER_FAILURE_LINK:
		return error_set(e, code,
				 "boundary-helper could not make or configure the veth pair: %s. The kernel needs "
				 "CONFIG_VETH (modprobe veth)",
				 strerror(code));
	case HELPER_FAILURE_GUARD:
		return error_set(e, code,
				 "boundary-helper could not install the guard: %s. The kernel needs nf_tables with "
				 "CONFIG_NF_TABLES_NETDEV and "
				 "CONFIG_NFT_FIB_NETDEV (modprobe nf_tables nft_fib_netdev)",
				 strerror(code));
	case HELPER_FAILURE_REDIRECT:
		if (code == E2BIG) /* MAX_HOOK_COUNT in net/netfilter/core.c */
			return error_set(e, code,
					 "boundary-helper could not install the redirect: this network namespace has "
					 "as many nat chains as the kernel allows, 1024. End other sessions");
		return error_set(e, code,
				 "boundary-helper could not install the redirect: %s. The kernel needs Linux 5.13 or "
				 "newer with CONFIG_NFT_NAT and "
				 "CONFIG_NFT_REDIR (modprobe nft_redir nft_chain_nat)",
				 strerror(code));
	case HELPER_FAILURE_CONFINEMENT:
		return error_set(e, code, "boundary-helper could not confine itself: %s", strerror(code));
	case HELPER_FAILURE_PROTOCOL:
		break;
	}
	return error_set(e, EPROTO,
			 "boundary-helper refused the request: it is of another version than boundary-launch, or "
			 "something took longer than %d seconds. "
			 "Install both from the same build",
			 HELPER_REQUEST_TIMEOUT_MS / 1000);
}

/* One request and its answer of `answer_length` octets into `answer`. */
static int ask(const struct service *helper, const char *program, uint16_t request, const void *payload, size_t length,
	       int fd, void *answer, size_t answer_length, struct error *e)
{
	struct wire_message message;
	struct helper_failed failed;
	int r;

	/* A failed send still leaves the reason, which the helper sent before it closed, to be read. */
	r = wire_send(helper->socket, request, payload, length, &fd, fd >= 0 ? 1 : 0);
	if (r == 0 || r == -EPIPE)
		r = wire_receive(helper->socket, &message, 0, ANSWER_TIMEOUT_MS);
	if (r < 0)
		return service_explain_end(helper, "the command was not started", e);
	if (message.type == (request | HELPER_REPLY) && message.length == answer_length) {
		if (answer_length > 0)
			memcpy(answer, message.payload, answer_length);
		return 0;
	}
	if (message.type != HELPER_FAILED || message.length != sizeof(failed))
		return error_set(
			e, EPROTO,
			"boundary-helper gave an unexpected answer. Install it from the same build as boundary-launch");
	memcpy(&failed, message.payload, sizeof(failed));
	return explain_failure(&failed, program, e);
}

int helper_client_attach(const struct service *helper, const char *program, int netns, struct helper_attached *ret,
			 struct error *e)
{
	int r = ask(helper, program, HELPER_ATTACH, NULL, 0, netns, ret, sizeof(*ret), e);

	if (r == 0 && ret->config_ignored)
		log_line(LOG_LEVEL_WARN, HELPER_CONFIG_PATH
			 " is ignored, as it is not a file that only root can write: "
			 "sudo chown root " HELPER_CONFIG_PATH "; sudo chmod 644 " HELPER_CONFIG_PATH);
	return r;
}

int helper_client_redirect(const struct service *helper, const char *program, uint16_t tcp_port, uint16_t dns_port,
			   struct error *e)
{
	const struct helper_redirect redirect = { tcp_port, dns_port };

	return ask(helper, program, HELPER_REDIRECT, &redirect, sizeof(redirect), -1, NULL, 0, e);
}

int helper_client_detach(const struct service *helper)
{
	return ask(helper, "", HELPER_DETACH, NULL, 0, -1, NULL, 0, NULL);
}
