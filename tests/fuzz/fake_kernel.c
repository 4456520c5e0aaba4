/* The world of the fake kernel, and what becomes of requests and answers on their way: see fake_kernel.h. */
#include "tests/fuzz/fake_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/fuzz/fuzz.h"

struct fake_kernel fake;

/* Objects are told apart by the file that their descriptor really is. */
static struct {
	int fd;
	ino_t inode;
} objects[FAKE_OBJECTS];

int fake_descriptor(enum fake_object object)
{
	struct stat file;

	if (objects[object].fd == 0) {
		objects[object].fd = memfd_create("object", MFD_CLOEXEC);
		require(objects[object].fd > 0 && fstat(objects[object].fd, &file) == 0);
		objects[object].inode = file.st_ino;
	}
	return objects[object].fd;
}

enum fake_object fake_object_of(int fd)
{
	bool active = fake.active;
	struct stat file;
	int r;

	fake.active = false;
	r = fstat(fd, &file);
	fake.active = active;
	if (r < 0)
		return FAKE_NOTHING;
	for (enum fake_object object = FAKE_FILE; object < FAKE_OBJECTS; object++) {
		if (objects[object].fd > 0 && objects[object].inode == file.st_ino)
			return object;
	}
	return FAKE_NOTHING;
}

void fake_reset(void)
{
	/* The buffers need no clearing, and are most of it. */
	memset(&fake, 0, offsetof(struct fake_kernel, datagrams));
	fake.n_datagrams = fake.n_answer_octets = 0;
	fake.user = 1000;
	fake.generation = 1;
	fake.ipv6 = true;
	fake.config_mode = S_IFREG | 0644;
	fake.privileges = PRIVILEGES_PERMITTED;
	for (size_t i = 0; i < FAKE_SOCKETS; i++)
		fake.sockets[i].fd = -1;
	for (enum fake_object object = FAKE_FILE; object < FAKE_OBJECTS; object++)
		(void)fake_descriptor(object);
}

void fake_close(struct fake_socket *socket)
{
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		if (fake.tables[i].handle != 0 && fake.tables[i].owner == socket->fd)
			fake.tables[i].handle = 0;
	}
	socket->fd = -1;
}

size_t fake_exit(void)
{
	size_t n_open = 0;

	for (size_t i = 0; i < FAKE_SOCKETS; i++) {
		if (fake.sockets[i].fd < 0)
			continue;
		n_open++;
		require(close(fake.sockets[i].fd) == 0);
		fake_close(&fake.sockets[i]);
	}
	return n_open;
}

int fake_errno(uint8_t number)
{
	static const int errors[] = {
		EPERM,  ENOMEM,     ENOBUFS,      EINTR,  EBUSY,  EEXIST, ENODEV, ENOENT, EAGAIN,
		EINVAL, EOPNOTSUPP, EAFNOSUPPORT, EMFILE, ERANGE, ENOTTY, EACCES, EIO,    EPROTO
	};

	return errors[number % array_size(errors)];
}

bool fake_fails(enum fake_call call)
{
	if (fake.n_calls[call]++ != fake.failures[call].which || !fake.failures[call].fails)
		return false;
	fake.unlucky = true;
	errno = fake_errno(fake.failures[call].error);
	return true;
}

/* Interfaces ------------------------------------------------------------------------------------------------------ */

struct fake_link *fake_link_by_index(uint32_t index)
{
	for (size_t i = 0; index != 0 && i < FAKE_LINKS; i++) {
		if (fake.links[i].index == index)
			return &fake.links[i];
	}
	return NULL;
}

struct fake_link *fake_link_by_name(const char *name)
{
	for (size_t i = 0; i < FAKE_LINKS; i++) {
		if (fake.links[i].index != 0 && strcmp(fake.links[i].name, name) == 0)
			return &fake.links[i];
	}
	return NULL;
}

struct fake_link *fake_link_add(const char *name)
{
	static uint32_t last_index;

	for (size_t i = 0; i < FAKE_LINKS; i++) {
		struct fake_link *link = &fake.links[i];

		if (link->index != 0)
			continue;
		*link = (struct fake_link){ .index = ++last_index ?: ++last_index, .forwards = true };
		snprintf(link->name, sizeof(link->name), "%s", name);
		return link;
	}
	return NULL;
}

bool fake_is_claimed(const struct fake_link *link)
{
	char table[32];

	snprintf(table, sizeof(table), "boundary_%s", link->name + 3);
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		if (fake.tables[i].handle != 0 && fake.tables[i].made && fake.tables[i].family == NFPROTO_IPV4 &&
		    strcmp(fake.tables[i].name, table) == 0)
			return true;
	}
	return false;
}

bool fake_link_is_guarded(const struct fake_link *link)
{
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		if (fake.tables[i].handle != 0 && fake.tables[i].rules > 0 &&
		    strcmp(fake.tables[i].guarded, link->name) == 0)
			return true;
	}
	return false;
}

void fake_end_jail(void)
{
	for (size_t i = 0; i < FAKE_LINKS; i++) {
		if (fake.links[i].peer == FAKE_JAIL)
			fake.links[i].index = 0;
	}
}

/* Somebody who is faster. */
static void claim_lowest(void)
{
	struct fake_table *free_one = NULL, table = { .handle = 0x20000 + fake.n_requests,
						      .family = NFPROTO_IPV4,
						      .owner = FAKE_STRANGER,
						      .claim = true,
						      .user = fake.user + 1 };
	bool taken = true;

	for (unsigned int i = 0; taken; i++) {
		snprintf(table.name, sizeof(table.name), "boundary_%05u", i);
		taken = false;
		for (size_t k = 0; k < FAKE_TABLES; k++) {
			const struct fake_table *other = &fake.tables[k];

			if (other->handle == 0)
				free_one = &fake.tables[k];
			taken |= other->handle != 0 && other->family == table.family &&
				 strcmp(other->name, table.name) == 0;
		}
	}
	if (free_one)
		*free_one = table;
	fake.generation++;
}

/* On the way ------------------------------------------------------------------------------------------------------ */

static void happen(const struct fake_deviation *d)
{
	int refused = d->kind == FAKE_REFUSE || d->kind == FAKE_UNSENT ? fake_errno(d->value) : 0;
	char name[IFNAMSIZ];

	/* A kernel that says so means it. */
	if (d->kind == FAKE_JAIL_ENDS || refused == ENODEV) {
		fake_end_jail();
		fake.disturbed = true;
	}
	fake.flushed |= d->kind == FAKE_FLUSH || refused == ENOENT;
	fake.disturbed |= fake.flushed;
	for (size_t i = 0; fake.flushed && i < FAKE_TABLES; i++) {
		if (fake.tables[i].owner < 0)
			fake.tables[i].handle = 0;
	}
	for (unsigned int i = 0; d->kind == FAKE_NAME_TAKEN && i < FAKE_LINKS; i++) {
		snprintf(name, sizeof(name), "bnd%05u", i);
		if (!fake_link_by_name(name)) {
			(void)fake_link_add(name);
			break;
		}
	}
	fake.generation += fake.flushed;
	if (d->kind == FAKE_CLAIMED)
		claim_lowest();
}

/* True if the datagram is there to remove what the session has made. */
static bool removes(const struct fake_socket *socket, const void *bytes, size_t length)
{
	const struct nlmsghdr *message;
	bool deletes = false, makes = false;

	while ((message = fake_message(&bytes, &length))) {
		if (socket->protocol == NETLINK_ROUTE) {
			deletes |= message->nlmsg_type == RTM_DELLINK;
		} else {
			deletes |= message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE);
			makes |= message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN);
		}
	}
	return deletes && !makes;
}

static void remove_datagram(size_t at)
{
	fake.n_datagrams--;
	memmove(&fake.datagrams[at], &fake.datagrams[at + 1], (fake.n_datagrams - at) * sizeof(fake.datagrams[0]));
}

/* Spoils one of the answers from number `first` on. */
static void spoil(struct fake_socket *socket, const struct fake_deviation *d, size_t first)
{
	const uint8_t garbage[] = { d->value, 0, 0, 0, (uint8_t)d->where, (uint8_t)(d->where >> 8), d->which };
	size_t n = fake.n_datagrams - first, at = n ? first + d->which % n : 0;
	struct fake_datagram *datagram = &fake.datagrams[at];

	fake.lied |= d->kind == FAKE_CUT || d->kind == FAKE_CHANGE || d->kind == FAKE_DOUBLE || d->kind == FAKE_GARBAGE;
	for (size_t i = first; d->kind == FAKE_RETOLD && i < fake.n_datagrams; i++) {
		struct nlmsghdr *message = (void *)&fake.answers[fake.datagrams[i].at];

		if (message->nlmsg_flags & NLM_F_MULTI)
			message->nlmsg_flags |= NLM_F_DUMP_INTR;
	}
	if (d->kind == FAKE_FAIL) /* ENOMEM, ENOBUFS, EINTR */
		socket->pending_error = fake_errno(1 + d->value % 3);
	else if (d->kind == FAKE_GARBAGE)
		fake_answer(socket, garbage, sizeof(garbage));
	if (n == 0)
		return;
	if (d->kind == FAKE_LOST) {
		remove_datagram(at);
		socket->pending_error = ENOBUFS;
	} else if (d->kind == FAKE_CUT) {
		datagram->length = d->where < datagram->length ? d->where : datagram->length;
	} else if (d->kind == FAKE_CHANGE && d->where < datagram->length) {
		fake.answers[datagram->at + d->where] = d->value;
	} else if (d->kind == FAKE_DOUBLE) {
		fake_answer(socket, &fake.answers[datagram->at], datagram->length);
	}
}

/* What the script has against the execution of the request. */
static const struct fake_deviation *refusal(unsigned int request)
{
	for (size_t i = 0; i < fake.n_deviations; i++) {
		const struct fake_deviation *d = &fake.deviations[i];

		if (d->request == request && (d->kind == FAKE_REFUSE || d->kind == FAKE_UNSENT))
			return d;
	}
	return NULL;
}

int fake_send(struct fake_socket *socket, const void *bytes, size_t length)
{
	unsigned int request = fake.n_requests++;
	const struct fake_deviation *refused = refusal(request);
	bool deviates = false;
	size_t first;

	if (fake.n_datagrams == 0)
		fake.n_answer_octets = 0;
	for (size_t i = 0; i < fake.n_deviations; i++) {
		if (fake.deviations[i].request != request)
			continue;
		deviates = true;
		happen(&fake.deviations[i]);
	}
	/* Then it is not there, or the helper cannot know that it is not. */
	fake.unlucky |= deviates;
	fake.delete_failed |= deviates && removes(socket, bytes, length);
	if (refused && refused->kind == FAKE_UNSENT)
		return -fake_errno(refused->value);
	first = fake.n_datagrams;
	if (refused)
		fake_acknowledge(socket, bytes, -fake_errno(refused->value));
	else if (socket->protocol == NETLINK_ROUTE)
		fake_execute_route(socket, bytes, length);
	else
		fake_execute_nft(socket, bytes, length);
	for (size_t i = 0; i < fake.n_deviations; i++) {
		if (fake.deviations[i].request == request)
			spoil(socket, &fake.deviations[i], first);
	}
	return 0;
}

ssize_t fake_receive(struct fake_socket *socket, void *ret, size_t size)
{
	if (socket->pending_error != 0) {
		int error = socket->pending_error;

		socket->pending_error = 0;
		return -error;
	}
	for (size_t i = 0; i < fake.n_datagrams; i++) {
		struct fake_datagram datagram = fake.datagrams[i];

		if (datagram.socket != socket)
			continue;
		if (datagram.length > size)
			datagram.length = size;
		memcpy(ret, &fake.answers[datagram.at], datagram.length);
		remove_datagram(i);
		return (ssize_t)datagram.length;
	}
	return -EAGAIN;
}

void fake_answer(struct fake_socket *socket, const void *bytes, size_t length)
{
	if (fake.n_datagrams == FAKE_DATAGRAMS || length > FAKE_ANSWER_MAX - fake.n_answer_octets) {
		socket->pending_error = ENOBUFS;
		fake.unlucky = true;
		return;
	}
	fake.datagrams[fake.n_datagrams++] = (struct fake_datagram){ socket, fake.n_answer_octets, length };
	memmove(&fake.answers[fake.n_answer_octets], bytes, length);
	fake.n_answer_octets += NLMSG_ALIGN(length);
}

void fake_acknowledge(struct fake_socket *socket, const struct nlmsghdr *message, int error)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr status;
	} answer = {
		.header = { .nlmsg_len = sizeof(answer), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = message->nlmsg_seq },
		.status = { .error = error, .msg = *message }
	};

	if (error != 0 || (message->nlmsg_flags & NLM_F_ACK))
		fake_answer(socket, &answer, sizeof(answer));
}

const struct nlmsghdr *fake_message(const void **at, size_t *left)
{
	const struct nlmsghdr *message = *at;
	size_t step;

	if (*left == 0)
		return NULL;
	require(*left >= sizeof(*message) && message->nlmsg_len >= sizeof(*message) && message->nlmsg_len <= *left);
	step = NLMSG_ALIGN(message->nlmsg_len) < *left ? NLMSG_ALIGN(message->nlmsg_len) : *left;
	*at = (const unsigned char *)*at + step;
	*left -= step;
	return message;
}

struct fake_attributes fake_behind(const struct nlmsghdr *message, size_t header)
{
	require(message->nlmsg_len >= NLMSG_SPACE(header));
	return (struct fake_attributes){ (const unsigned char *)message + NLMSG_SPACE(header),
					 message->nlmsg_len - NLMSG_SPACE(header) };
}

const void *fake_attribute(struct fake_attributes in, uint16_t type, size_t *ret_length)
{
	while (in.length > 0) {
		struct nlattr attribute;
		size_t step;

		require(in.length >= sizeof(attribute));
		memcpy(&attribute, in.at, sizeof(attribute));
		require(attribute.nla_len >= sizeof(attribute) && attribute.nla_len <= in.length);
		if ((attribute.nla_type & NLA_TYPE_MASK) == type) {
			*ret_length = attribute.nla_len - sizeof(attribute);
			return in.at + sizeof(attribute);
		}
		step = NLA_ALIGN(attribute.nla_len) < in.length ? NLA_ALIGN(attribute.nla_len) : in.length;
		in.at += step;
		in.length -= step;
	}
	return NULL;
}

struct fake_attributes fake_nested(struct fake_attributes in, uint16_t type)
{
	struct fake_attributes ret = { .length = 0 };

	ret.at = fake_attribute(in, type, &ret.length);
	return ret;
}

const char *fake_string(struct fake_attributes in, uint16_t type)
{
	size_t length;
	const char *text = fake_attribute(in, type, &length);

	require(!text || (length > 0 && memchr(text, '\0', length) == text + length - 1));
	return text;
}

uint32_t fake_number(struct fake_attributes in, uint16_t type, uint32_t otherwise)
{
	size_t length;
	uint32_t value = otherwise;
	const void *at = fake_attribute(in, type, &length);

	require(!at || length == sizeof(value));
	if (at)
		memcpy(&value, at, sizeof(value));
	return value;
}

void fake_put(struct fake_part *part, uint16_t type, const void *value, size_t length)
{
	const struct rtattr header = { .rta_len = (unsigned short)RTA_LENGTH(length), .rta_type = type };

	memcpy(part->bytes + part->length, &header, sizeof(header));
	memcpy(part->bytes + part->length + sizeof(header), value, length);
	memset(part->bytes + part->length + sizeof(header) + length, 0, RTA_SPACE(length) - RTA_LENGTH(length));
	part->length += RTA_SPACE(length);
}

size_t fake_begin(struct fake_part *part, struct fake_socket *socket, const struct nlmsghdr *question, uint16_t type,
		  const void *header, size_t length)
{
	bool is_dump = (question->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP; /* NLM_F_EXCL is one of its two bits */
	const struct nlmsghdr message = { .nlmsg_type = type,
					  .nlmsg_flags = is_dump ? NLM_F_MULTI : 0,
					  .nlmsg_seq = question->nlmsg_seq };
	size_t at;

	if (part->length > sizeof(part->bytes) - 256) {
		fake_answer(socket, part->bytes, part->length);
		part->length = 0;
	}
	at = part->length;
	memcpy(part->bytes + at, &message, sizeof(message));
	memcpy(part->bytes + at + NLMSG_HDRLEN, header, length);
	part->length += NLMSG_SPACE(length);
	return at;
}

void fake_end(struct fake_part *part, size_t at)
{
	uint32_t length = (uint32_t)(part->length - at);

	memcpy(part->bytes + at, &length, sizeof(length));
}
