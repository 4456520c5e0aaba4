/*
 * helper_messages HELPER [PID]: what is said to the helper. Every type in every state; packets cut short, too long,
 * with a header that lies; any number of descriptors; all sequences of up to three packets, sent without waiting.
 */
#include <stdio.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

static const char payload[4 * WIRE_PAYLOAD_MAX];
static const struct scene *scene;

/* Outcomes ----------------------------------------------------------------------------------------------------- */

static struct helper_packet right_packet(enum session_state state)
{
	/* The request that each state allows has the number of the next; of the last there is none. */
	return helper_request(state == SESSION_DETACHED ? HELPER_DETACH : (enum helper_message)(state + 1),
			      &scene->jails[0].netns);
}

static bool is_right(enum session_state state, const struct helper_packet *packet)
{
	const struct helper_packet right = right_packet(state);

	return state != SESSION_DETACHED && packet->type == right.type && packet->size == right.size &&
	       packet->n_fds == right.n_fds && packet->cut == 0 && packet->surplus_length == 0 && packet->magic == 0 &&
	       packet->version == 0;
}

/* A packet without octets and descriptors cannot be told from the end of file. */
static bool is_empty(const struct helper_packet *packet)
{
	return packet->cut == sizeof(struct wire_header) + packet->size && packet->n_fds == 0;
}

/* The right answer, then the end with the right code. What was sent is in *detail if not. */
static bool judge(enum session_state state, const struct helper_packet *packet, struct session *s, char *detail,
		  size_t size)
{
	struct helper_answer answer = helper_hear(&s->peer, HELPER_SOON_MS);
	bool right = is_right(state, packet), nothing = state == SESSION_DETACHED || is_empty(packet), held;
	int wanted = right || nothing ? 0 : 1 << 8, status;

	if (right)
		held = answer.type == (packet->type | HELPER_REPLY);
	else if (nothing)
		held = answer.type == 0;
	else
		held = helper_answer_failed(&answer, HELPER_FAILURE_PROTOCOL);
	close_fd(&s->peer.socket);
	status = helper_ended(&s->peer, HELPER_SOON_MS);
	if (held && status == wanted)
		return true;
	snprintf(detail, size,
		 "type %#x, magic %#x, version %u, %zu octets of payload, %+d in the header, %zu cut, %zu descriptors: "
		 "answer %d, failure %u, errno %d; status %#x",
		 packet->type, packet->magic, packet->version, packet->size, (int)packet->surplus_length, packet->cut,
		 packet->n_fds, answer.type, answer.failed.failure, answer.failed.code, (unsigned int)status);
	return false;
}

/* Each packet to a helper of its own in this state, several at once; one result for all. */
static void try_packets(const char *what, enum session_state state, const struct helper_packet *packets, size_t n)
{
	struct session sessions[SCENE_JAILS];
	char detail[512] = "", title[160];
	size_t bad = 0;

	for (size_t first = 0; first < n; first += SCENE_JAILS) {
		size_t count = n - first < SCENE_JAILS ? n - first : SCENE_JAILS;

		sessions_open(what, sessions, count, state, NULL);
		for (size_t i = 0; i < count; i++) {
			struct helper_packet packet = packets[first + i];

			if (packet.n_fds == 1)
				packet.fds = &sessions[i].jail->netns;
			helper_say(&sessions[i].peer, &packet);
		}
		for (size_t i = 0; i < count; i++)
			bad += !judge(state, &packets[first + i], &sessions[i], detail, sizeof(detail));
		sessions_empty(sessions, count);
	}
	snprintf(title, sizeof(title), "%s when %s, %zu packets", what, session_state_names[state], n);
	scene_check(bad == 0, title, "%zu, the last: %s", bad, detail);
}

/* Types -------------------------------------------------------------------------------------------------------- */

static void every_type(enum session_state state)
{
	static const uint16_t types[] = { 0,    1,    2,    3,    4,    5,     0x7f,  0x80,
					  0x81, 0x82, 0x83, 0xfe, 0xff, 0x101, 0x102, 0xffff };
	struct helper_packet bare[array_size(types)], fd[array_size(types)], ports[array_size(types)];

	for (size_t i = 0; i < array_size(types); i++) {
		bare[i] = (struct helper_packet){ .type = types[i] };
		fd[i] = (struct helper_packet){ .type = types[i], .n_fds = 1 };
		ports[i] = (struct helper_packet){ .type = types[i], .payload = "\1\1\1\1", .size = 4 };
	}
	try_packets("types with nothing", state, bare, array_size(types));
	try_packets("types with a descriptor", state, fd, array_size(types));
	try_packets("types with ports", state, ports, array_size(types));
}

/* To helpers that were just started: all there are, or 1 in 128 of them. */
static void all_types(void)
{
	const unsigned int step = (unsigned int)scene_rounds(128, 1);
	struct session sessions[SCENE_JAILS];
	char detail[512] = "";
	size_t bad = 0, n = 0;

	for (unsigned int type = 0, first = 0; type <= UINT16_MAX; first = type) {
		struct helper_packet packet = { .n_fds = 1 };

		for (n = 0; n < SCENE_JAILS && type <= UINT16_MAX; n++, type += step) {
			sessions[n].peer = helper_start(scene->helper, NULL);
			packet = (struct helper_packet){ .type = (uint16_t)type,
							 .fds = &scene->jails[n].netns,
							 .n_fds = 1 };
			helper_say(&sessions[n].peer, &packet);
		}
		for (size_t i = 0; i < n; i++) {
			packet.type = (uint16_t)(first + i * step);
			bad += !judge(SESSION_INITIAL, &packet, &sessions[i], detail, sizeof(detail));
		}
	}
	scene_check(bad == 0, step == 1 ? "all 65536 types as first packet" : "one in 128 types as first packet",
		    "%zu, the last: %s", bad, detail);
}

/* Sizes -------------------------------------------------------------------------------------------------------- */

static void cut_short(enum session_state state)
{
	struct helper_packet packets[sizeof(struct wire_header) + sizeof(struct helper_redirect)] = { 0 };
	const struct helper_packet right = right_packet(state);
	size_t n = sizeof(struct wire_header) + right.size;

	for (size_t i = 0; i < n; i++) {
		packets[i] = right;
		packets[i].cut = i + 1;
	}
	try_packets("cut at every length", state, packets, n);
	for (size_t i = 0; i < n; i++)
		packets[i].n_fds = 0;
	try_packets("cut at every length, without descriptor", state, packets, n);
}

/* A header that tells the truth, of a packet that is not as it should be. */
static void other_sizes(enum session_state state)
{
	static const size_t sizes[] = { 0,
					1,
					2,
					3,
					4,
					5,
					8,
					12,
					36,
					44,
					4096,
					WIRE_PAYLOAD_MAX - 1,
					WIRE_PAYLOAD_MAX,
					WIRE_PAYLOAD_MAX + 1,
					20000,
					sizeof(payload) };
	struct helper_packet packets[array_size(sizes)];

	for (size_t i = 0; i < array_size(sizes); i++) {
		packets[i] = right_packet(state);
		if (sizes[i] != packets[i].size)
			packets[i].payload = payload;
		packets[i].size = sizes[i];
	}
	try_packets("payloads up to 64 KiB", state, packets, array_size(sizes));
}

static void lying_headers(enum session_state state)
{
	static const int64_t surplus[] = { 1, 4, 12, 0x4000, 0x7fffffff, 0x80000000, UINT32_MAX - 11, -1, -4, -12 };
	struct helper_packet packets[2 * array_size(surplus)];

	for (size_t i = 0; i < array_size(packets); i++) {
		packets[i] = right_packet(state);
		packets[i].surplus_length = (uint32_t)surplus[i / 2];
		if (i % 2 == 1) { /* and one that would have to be refused if it did not lie */
			packets[i].payload = payload;
			packets[i].size = 64;
		}
	}
	try_packets("lengths that are not the packet's", state, packets, array_size(packets));
}

static void other_protocols(enum session_state state)
{
	struct helper_packet packets[32 + 16];

	for (size_t i = 0; i < array_size(packets); i++) {
		packets[i] = right_packet(state);
		if (i < 32)
			packets[i].magic = WIRE_MAGIC ^ 1u << i;
		else
			packets[i].version = (uint16_t)(WIRE_VERSION ^ 1u << (i - 32));
		if (packets[i].version == 0 && i >= 32) /* which would be sent as the right one */
			packets[i].version = 0xffff;
	}
	try_packets("magic or version with one wrong bit", state, packets, array_size(packets));
}

/* Descriptors -------------------------------------------------------------------------------------------------- */

/* Few at once: a user has no more descriptors under way than he may have open. */
static void descriptor_counts(enum session_state state)
{
	static const size_t counts[] = { 0, 1, 2, 3, WIRE_FDS_MAX, WIRE_FDS_MAX + 1, HELPER_FDS_MAX };
	int many[HELPER_FDS_MAX];
	char what[64];

	for (size_t i = 0; i < array_size(many); i++)
		many[i] = scene->jails[i % SCENE_JAILS].netns;
	for (size_t i = 0; i < array_size(counts); i++) {
		struct helper_packet packets[3];

		for (size_t type = 0; type < array_size(packets); type++) {
			packets[type] = helper_request((enum helper_message)(type + 1), NULL);
			packets[type].fds = many;
			packets[type].n_fds = counts[i];
		}
		snprintf(what, sizeof(what), "requests with %zu descriptors", counts[i]);
		try_packets(what, state, packets, array_size(packets));
	}
}

/* Sequences ---------------------------------------------------------------------------------------------------- */

enum { UNKNOWN = HELPER_DETACH + 1, EMPTY, SYMBOLS = EMPTY };

static void say_symbol(const struct session *s, int symbol)
{
	struct helper_packet packet = helper_request((enum helper_message)symbol, &s->jail->netns);

	if (symbol == UNKNOWN)
		packet.type = 0x42;
	else if (symbol == EMPTY)
		packet.cut = sizeof(struct wire_header);
	helper_say(&s->peer, &packet);
}

/* Goes through the states as the helper should, and hears the answer to each packet. */
static bool judge_sequence(struct session *s, const int *symbols, size_t length, char *detail, size_t size)
{
	enum session_state state = SESSION_INITIAL;
	struct helper_answer answer;
	int wanted = 0, status;
	bool held = true;

	for (size_t i = 0; i < length && held && state != SESSION_DETACHED; i++) {
		if (symbols[i] == EMPTY)
			break;
		answer = helper_hear(&s->peer, HELPER_SOON_MS);
		if (symbols[i] != (int)state + 1) {
			held = helper_answer_failed(&answer, HELPER_FAILURE_PROTOCOL);
			wanted = 1 << 8;
			break;
		}
		held = answer.type == (symbols[i] | HELPER_REPLY);
		state++;
	}
	close_fd(&s->peer.socket);
	status = helper_ended(&s->peer, HELPER_SOON_MS);
	if (!held || status != wanted)
		snprintf(detail, size, "%d %d %d: in state %s, answer %d, failure %u, errno %d, status %#x", symbols[0],
			 length > 1 ? symbols[1] : 0, length > 2 ? symbols[2] : 0, session_state_names[state],
			 answer.type, answer.failed.failure, answer.failed.code, (unsigned int)status);
	return held && status == wanted;
}

/* All sequences of this length, the requests in every order and number among them. */
static void sequences(size_t length)
{
	struct session sessions[SCENE_JAILS];
	int symbols[SCENE_JAILS][3];
	char detail[512] = "", what[64];
	size_t all = 1, bad = 0;

	for (size_t i = 0; i < length; i++)
		all *= SYMBOLS;
	for (size_t next = 0; next < all;) {
		size_t n;

		for (n = 0; n < SCENE_JAILS && next < all; n++, next++) {
			size_t digits = next;

			sessions_open("a sequence", &sessions[n], 1, SESSION_INITIAL, NULL);
			sessions[n].jail = &scene_get()->jails[n];
			for (size_t i = 0; i < length; i++, digits /= SYMBOLS) {
				symbols[n][i] = (int)(digits % SYMBOLS) + 1;
				say_symbol(&sessions[n], symbols[n][i]);
			}
		}
		for (size_t i = 0; i < n; i++)
			bad += !judge_sequence(&sessions[i], symbols[i], length, detail, sizeof(detail));
		sessions_empty(sessions, n);
	}
	snprintf(what, sizeof(what), "%zu sequences of %zu packets at once", all, length);
	scene_check(bad == 0, what, "%zu, the last: %s", bad, detail);
}

/* A right request twice, the second before the first is answered. */
static void duplicates(enum session_state state)
{
	const struct helper_packet right = right_packet(state);
	struct session s;
	struct helper_packet packet = right;
	struct helper_answer first, second;
	char what[64];
	int status;

	sessions_open("duplicates", &s, 1, state, NULL);
	if (packet.n_fds > 0)
		packet.fds = &s.jail->netns;
	helper_say(&s.peer, &packet);
	helper_say(&s.peer, &packet);
	first = helper_hear(&s.peer, HELPER_SOON_MS);
	second = helper_hear(&s.peer, HELPER_SOON_MS);
	status = helper_ended(&s.peer, HELPER_SOON_MS);
	sessions_empty(&s, 1);
	snprintf(what, sizeof(what), "the right request twice when %s", session_state_names[state]);
	/* After DETACH it is gone, and does not hear the second. */
	scene_check(first.type == (right.type | HELPER_REPLY) &&
			    (state == SESSION_SERVING
				     ? second.type == 0 && status == 0
				     : helper_answer_failed(&second, HELPER_FAILURE_PROTOCOL) && status == 1 << 8),
		    what, "answers %d and %d, failure %u, status %#x", first.type, second.type, second.failed.failure,
		    (unsigned int)status);
}

static void zero_ports(void)
{
	static const struct helper_redirect ports[] = { { 0, 0 }, { 0, 1 }, { 1, 0 } };

	for (size_t i = 0; i < array_size(ports); i++) {
		struct session s;
		struct helper_packet packet = helper_request(HELPER_REDIRECT, NULL);
		struct helper_answer answer;
		char what[64];
		int status;

		sessions_open("a redirect to port 0", &s, 1, SESSION_ATTACHED, NULL);
		packet.payload = &ports[i];
		helper_say(&s.peer, &packet);
		answer = helper_hear(&s.peer, HELPER_SOON_MS);
		status = helper_ended(&s.peer, HELPER_SOON_MS);
		snprintf(what, sizeof(what), "redirect to the ports %u and %u", ports[i].tcp_port, ports[i].dns_port);
		scene_check(helper_answer_failed(&answer, HELPER_FAILURE_PROTOCOL) && status == 1 << 8, what,
			    "answer %d, status %#x", answer.type, (unsigned int)status);
	}
}

int main(int argc, char **argv)
{
	scene = scene_begin(argc, argv);
	for (enum session_state state = SESSION_INITIAL; state <= SESSION_SERVING; state++) {
		every_type(state);
		cut_short(state);
		other_sizes(state);
		lying_headers(state);
		other_protocols(state);
		descriptor_counts(state);
		duplicates(state);
	}
	every_type(SESSION_DETACHED);
	zero_ports();
	for (size_t length = 1; length <= 3; length++)
		sequences(length);
	all_types();
	return scene_end();
}
