/*
 * libFuzzer entry for the helper: one session, request_serve() over a real socketpair, on a fake kernel. The input is a
 * script of what the peer says, what the world is like, and what goes wrong: see read_script(). Whatever it is, no
 * request is executed out of order, the capability is in effect only meanwhile, and in the end nothing is left of the
 * session but what could not be removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/config.h"
#include "helper/request.h"
#include "shared/cleanup.h"
#include "shared/wire.h"
#include "tests/attack/helper_peer.h"
#include "tests/fuzz/fake_kernel.h"
#include "tests/fuzz/fuzz.h"

#define PACKETS_MAX 6
#define FDS_MAX 40
#define PAYLOAD_MAX 64
#define REQUESTS_MAX (FAKE_TABLES + 64) /* of netlink, in a session: an index that somebody has may cost one */
#define DESCRIPTORS_MAX 64

struct packet {
	struct helper_packet packet;
	unsigned char payload[WIRE_PAYLOAD_MAX + 64];
	int fds[FDS_MAX];
	enum fake_object first;
};

static struct script {
	struct packet packets[PACKETS_MAX];
	size_t n_packets;
	bool peer_closes;
	bool ordinary; /* nothing in the world is in the way */
} script;

/* The administrator's, as config.c reads them; unknown if they are wrong or the helper may see others. */
static struct config settings;
static bool settings_known;

/* The script ------------------------------------------------------------------------------------------------------- */

static struct packet *add_packet(uint16_t type, const void *payload, size_t size)
{
	struct packet *p = &script.packets[script.n_packets];

	if (script.n_packets == PACKETS_MAX)
		return NULL;
	script.n_packets++;
	p->packet = (struct helper_packet){ .type = type, .payload = p->payload, .size = size, .fds = p->fds };
	p->first = FAKE_NOTHING;
	if (payload)
		memcpy(p->payload, payload, size);
	return p;
}

static void add_fd(struct packet *p, enum fake_object object)
{
	if (p->packet.n_fds == 0)
		p->first = object;
	p->fds[p->packet.n_fds++] = fake_descriptor(object);
}

static void read_attach(struct input *in)
{
	struct packet *p = add_packet(HELPER_ATTACH, NULL, 0);

	(void)in;
	if (p)
		add_fd(p, FAKE_JAIL);
}

static void read_redirect(struct input *in)
{
	const struct helper_redirect ports = { 4000, 4001 };

	(void)in;
	(void)add_packet(HELPER_REDIRECT, &ports, sizeof(ports));
}

static void read_detach(struct input *in)
{
	(void)in;
	(void)add_packet(HELPER_DETACH, NULL, 0);
}

/* Type, flags, size of the payload, number of descriptors, those, and what there is of the payload. */
static void read_packet(struct input *in)
{
	uint8_t type = input_u8(in), flags = input_u8(in);
	size_t size = input_u16(in) % (WIRE_PAYLOAD_MAX + 64), n_fds = input_u8(in) % (FDS_MAX + 1);
	struct packet *p = add_packet(type, NULL, size);

	if (!p)
		return;
	p->packet.magic = flags & 1 ? 0x424e4459 : 0;
	p->packet.version = flags & 2 ? 2 : 0;
	p->packet.surplus_length = flags & 4 ? 1 : 0;
	p->packet.cut = (flags >> 4) % (sizeof(struct wire_header) + 1);
	for (size_t i = 0; i < n_fds; i++)
		add_fd(p, FAKE_FILE + input_u8(in) % (FAKE_OBJECTS - FAKE_FILE));
	memset(p->payload, 0, size);
	for (size_t i = 0; i < size && i < PAYLOAD_MAX; i++)
		p->payload[i] = input_u8(in);
}

static void read_close(struct input *in)
{
	(void)in;
	script.peer_closes = true;
}

static void read_user(struct input *in)
{
	uint8_t user = input_u8(in);

	fake.user = user ? 1000u + user : 0;
}

static void read_no_ipv6(struct input *in)
{
	(void)in;
	fake.ipv6 = false;
}

static void read_eth0(struct input *in)
{
	(void)in;
	fake.jail_has_eth0 = true;
	script.ordinary = false;
}

/* A session of another process's: its claim, and its cable. */
static void add_session(unsigned int index, uid_t user)
{
	struct fake_table *table = NULL;
	struct fake_link *link;
	char name[IFNAMSIZ];

	for (size_t i = 0; i < FAKE_TABLES && !table; i++)
		table = fake.tables[i].handle == 0 ? &fake.tables[i] : NULL;
	snprintf(name, sizeof(name), "bnd%05u", index);
	link = fake_link_by_name(name) ? NULL : fake_link_add(name);
	if (!link || !table)
		return;
	link->address = 0xc6120000u + 2 * index;
	*table = (struct fake_table){
		.handle = 1 + index, .family = NFPROTO_IPV4, .owner = FAKE_STRANGER, .user = user, .claim = true
	};
	snprintf(table->name, sizeof(table->name), "boundary_%05u", index);
}

/* So many sessions, of the caller, or of all kinds of users. */
static void read_sessions(struct input *in)
{
	unsigned int n = input_u8(in) % 128, spread = input_u8(in);

	for (unsigned int i = 0; i < n; i++)
		add_session(i, fake.user + (spread ? i % spread : 0));
	script.ordinary &= n < 64;
}

/* Cables that no helper claims. */
static void read_orphans(struct input *in)
{
	unsigned int first = input_u8(in), n = input_u8(in) % 128;
	char name[IFNAMSIZ];

	script.ordinary &= n < 32;
	for (unsigned int i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "bnd%05u", i);
		if (!fake_link_by_name(name))
			(void)fake_link_add(name);
	}
}

/* An address or a route of the host's: length, four octets. */
static void read_prefix(struct input *in)
{
	uint8_t length = input_u8(in);
	uint32_t address = (uint32_t)input_u16(in) << 16;

	address |= input_u16(in);
	script.ordinary = false;
	if (fake.n_prefixes < array_size(fake.prefixes))
		fake.prefixes[fake.n_prefixes++] =
			(struct fake_prefix){ address, (uint8_t)((length & 0x3f) % 33), length & 0x80 };
}

/* helper.conf: what is odd about it, its length, it. */
static void read_config(struct input *in)
{
	static const mode_t types[] = { S_IFREG, S_IFDIR, S_IFIFO, S_IFREG };
	uint8_t odd = input_u8(in);
	size_t length = input_u16(in) % 1024;

	script.ordinary = false;
	fake.has_config = true;
	fake.config_owner = odd & 1;
	fake.config_mode = types[odd >> 6] | (odd & 2 ? 0020 : 0) | (odd & 4 ? 0002 : 0) | 0644;
	for (fake.config_length = 0; fake.config_length < length && in->at < in->end; fake.config_length++)
		fake.config[fake.config_length] = input_u8(in);
}

/* What a killed session left: the guard of an index; somebody's who is alive, perhaps. */
static void read_guard(struct input *in)
{
	unsigned int index = input_u16(in);

	script.ordinary = false;
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		struct fake_table *table = &fake.tables[i];

		if (table->handle != 0)
			continue;
		*table = (struct fake_table){ .handle = 0x10000 + i,
					      .family = NFPROTO_NETDEV,
					      .owner = index & 0x8000 ? FAKE_STRANGER : -1 };
		snprintf(table->name, sizeof(table->name), "boundary_guard_%05u", index & 0x7fff);
		return;
	}
}

static void read_deviation(struct input *in)
{
	struct fake_deviation d = { .kind = input_u8(in),
				    .request = input_u8(in),
				    .which = input_u8(in),
				    .where = input_u16(in),
				    .value = input_u8(in) };

	if (fake.n_deviations < FAKE_DEVIATIONS)
		fake.deviations[fake.n_deviations++] = d;
}

static void read_failure(struct input *in)
{
	uint8_t call = input_u8(in) % FAKE_CALLS;

	fake.failures[call].fails = true;
	fake.failures[call].which = input_u8(in);
	fake.failures[call].error = input_u8(in);
}

/* A letter for each thing, and what it takes. Other octets are skipped. */
static void read_script(struct input *in)
{
	static void (*const readers[128])(struct input * in) = {
		['A'] = read_attach,  ['R'] = read_redirect,  ['D'] = read_detach,  ['p'] = read_packet,
		['X'] = read_close,   ['u'] = read_user,      ['6'] = read_no_ipv6, ['e'] = read_eth0,
		['o'] = read_orphans, ['n'] = read_sessions,  ['r'] = read_prefix,  ['c'] = read_config,
		['g'] = read_guard,   ['d'] = read_deviation, ['f'] = read_failure,
	};

	script.n_packets = 0;
	script.peer_closes = false;
	script.ordinary = true;
	while (in->at < in->end) {
		uint8_t letter = input_u8(in);

		if (letter < array_size(readers) && readers[letter])
			readers[letter](in);
	}
}

/* Before anything happens. */
static void read_settings(void)
{
	__typeof__(fake.failures) failures;
	struct helper_failed failed = { 0 };

	memcpy(&failures, &fake.failures, sizeof(failures));
	memset(fake.failures, 0, sizeof(fake.failures));
	fake.active = true;
	settings_known = config_read(HELPER_CONFIG_PATH, &settings, &failed) == 0;
	fake.active = false;
	memset(fake.n_calls, 0, sizeof(fake.n_calls));
	memcpy(&fake.failures, &failures, sizeof(failures));
	settings_known &=
		!failures[FAKE_CALL_OPEN].fails && !failures[FAKE_CALL_READ].fails && !failures[FAKE_CALL_STAT].fails;
	fake.pool = settings_known ? settings.pool : 0;
}

/* What must be --------------------------------------------------------------------------------------------------- */

/* The request that each state allows. */
static bool is_right(size_t state)
{
	static const struct {
		uint16_t type;
		size_t size, n_fds;
	} right[] = { { HELPER_ATTACH, 0, 1 },
		      { HELPER_REDIRECT, sizeof(struct helper_redirect), 0 },
		      { HELPER_DETACH, 0, 0 } };
	const struct helper_packet *p = &script.packets[state].packet;
	const struct helper_redirect *ports = p->payload;

	if (state >= array_size(right) || state >= script.n_packets)
		return false;
	if (p->type != right[state].type || p->size != right[state].size || p->n_fds != right[state].n_fds ||
	    p->magic || p->version || p->surplus_length || p->cut)
		return false;
	return state != 1 || (ports->tcp_port != 0 && ports->dns_port != 0);
}

static size_t count_right(void)
{
	size_t n = 0;

	while (is_right(n))
		n++;
	return n;
}

void fake_received(void)
{
	size_t n = fake.n_received++;

	fake.may_attach = n == 0 && is_right(0);
	fake.may_redirect = n == 1 && is_right(0) && is_right(1);
}

/* Requirement: the administrator's settings (config.c, for itself, is fuzz_config's) are kept to. */
static void check_settings(const struct helper_attached *attached)
{
	require(fake.n_claims == 1 || fake.lied);
	if (!settings_known || fake.lied)
		return;
	require(attached->config_ignored == settings.ignored && attached->index < settings.indexes);
	require(attached->host_address == settings.pool + 2 * attached->index);
	require(fake.claims_of_user < settings.per_user && fake.claims_of_all < settings.in_total);
	fake.stage = 0;
	fake.active = true;
	require(config_permits(&settings, fake.user));
	fake.active = false;
}

/* Requirement: whom a number refuses has claimed nothing, and it is reached. */
static void check_refused(enum helper_failure failure)
{
	unsigned int of_user, of_all;

	if (fake.lied || (failure != HELPER_FAILURE_USER_SESSIONS && failure != HELPER_FAILURE_ALL_SESSIONS))
		return;
	fake_count_claims(&of_user, &of_all);
	require(fake.n_claims == 0);
	if (settings_known)
		require(failure == HELPER_FAILURE_USER_SESSIONS ? of_user >= settings.per_user
								: of_all >= settings.in_total);
}

/* Requirement: no address that the host uses otherwise. */
static void check_addresses(const struct helper_attached *attached)
{
	for (size_t i = 0; i < fake.n_prefixes; i++) {
		const struct fake_prefix *p = &fake.prefixes[i];
		unsigned int shift = p->route ? 32u - p->length : 0;

		if (!p->route || p->length >= 8)
			require((attached->host_address ^ p->address) >> shift != 0 &&
				(attached->jail_address ^ p->address) >> shift != 0);
	}
}

/* When a request is answered, what it asked for is there. */
void fake_answering(const struct msghdr *message)
{
	const struct wire_header *header = message->msg_iov[0].iov_base;
	size_t n_up = 0, n_tables = 0, n_translating = 0;

	if (fake.lied || fake.disturbed)
		return;
	for (size_t i = 0; i < FAKE_LINKS; i++)
		n_up += fake.links[i].index != 0 && fake.links[i].made && fake.links[i].up;
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		n_tables += fake.tables[i].handle != 0 && fake.tables[i].made;
		n_translating += fake.tables[i].handle != 0 && fake.tables[i].translates;
	}
	if (header->type == (HELPER_ATTACH | HELPER_REPLY))
		require(n_up == 1 && n_tables > 0 && n_translating == 0);
	else if (header->type == (HELPER_REDIRECT | HELPER_REPLY))
		require(n_up == 1 && n_tables > 1 && n_translating == 1 && fake.stage == STAGE_SERVING);
	else if (header->type == (HELPER_DETACH | HELPER_REPLY))
		require(n_up == 0 && n_tables == 0);
}

static void check_attached(const struct helper_attached *attached)
{
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "bnd%05u", attached->index);
	require(strcmp(name, attached->host_interface) == 0);
	require(attached->jail_address == attached->host_address + 1 && !(attached->host_address & 1));
	require(attached->host_ifindex != 0 && fake.n_created == 1);
	check_settings(attached);
	if (!fake.unlucky)
		check_addresses(attached);
}

/* An answer to the packet of this number. */
static void check_failed(const struct helper_answer *answer, int r, size_t n)
{
	require(answer->size == sizeof(answer->failed) && (r < 0 || fake.lied));
	require(answer->failed.failure >= HELPER_FAILURE_PROTOCOL && answer->failed.failure <= HELPER_FAILURE_POOL);
	require((answer->failed.code >= 0 && answer->failed.code < 4096) || fake.lied);
	check_refused(answer->failed.failure);
	/* Settings are read before all else. */
	if (answer->failed.failure == HELPER_FAILURE_CONFIG_LINE)
		require(fake.has_config && n == 0 && answer->failed.detail > 0);
	else if (n == count_right() && !fake.unlucky)
		require(answer->failed.failure == HELPER_FAILURE_PROTOCOL);
}

/* Answers in the order of the requests, to right ones only; then at most one that says what failed. */
static void check_answers(const struct helper_peer *peer, int r)
{
	static const size_t sizes[] = { sizeof(struct helper_attached), 0, 0 };
	size_t n_right = count_right(), n = 0;
	struct helper_answer answer;

	while ((answer = helper_hear(peer, 0)).type > 0 && answer.type != HELPER_FAILED) {
		require(n < n_right && answer.size == sizes[n]);
		require(answer.type == (script.packets[n].packet.type | HELPER_REPLY));
		if (n == 0)
			check_attached(&answer.attached);
		n++;
	}
	if (answer.type == HELPER_FAILED) {
		check_failed(&answer, r, n);
		answer = helper_hear(peer, 0);
	} else {
		require(r >= 0 || fake.unlucky);
	}
	require(answer.type == 0);
	if (script.ordinary && !fake.unlucky && script.packets[0].first == FAKE_JAIL)
		require(n == n_right);
}

/* Nothing of the session but what could not be deleted, or goes with the jail. */
static void check_remains(void)
{
	bool detached = fake.n_received >= 3 && count_right() == 3;

	if (fake.lied || fake.delete_failed)
		return;
	for (size_t i = 0; i < FAKE_LINKS; i++)
		require(fake.links[i].index == 0 || !fake.links[i].made || (detached && !fake.links[i].up));
	for (size_t i = 0; i < FAKE_TABLES; i++)
		require(fake.tables[i].handle == 0 || !fake.tables[i].made);
}

static unsigned int count_descriptors(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ----------------------------------------------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct helper_peer peer = { 0 };
	unsigned int descriptors;
	int pair[2], r;

	fake_reset();
	read_script(&in);
	read_settings();
	require(wire_pair(pair) == 0);
	peer.socket = pair[0];
	fake.peer = pair[1];
	for (size_t i = 0; i < script.n_packets; i++)
		require(helper_say(&peer, &script.packets[i].packet) == 0);
	shutdown(peer.socket, SHUT_WR);
	if (script.peer_closes)
		close_fd(&peer.socket);
	descriptors = count_descriptors();

	fake.active = true;
	r = request_serve(pair[1]);
	fake.active = false;

	require(fake.privileges == PRIVILEGES_NONE || fake.drop_refused);
	require(fake.n_requests <= REQUESTS_MAX);
	require(fake_exit() == 0 && count_descriptors() == descriptors);
	check_remains();
	close(pair[1]);
	if (!script.peer_closes)
		check_answers(&peer, r);
	close_fd(&peer.socket);
	return 0;
}
