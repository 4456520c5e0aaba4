/* NETLINK_NETFILTER of the fake kernel: transactions of nf_tables (net/netfilter/nfnetlink.c, nf_tables_api.c). */
#include "tests/fuzz/fake_kernel.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <string.h>

#include "shared/cleanup.h"
#include "tests/fuzz/fuzz.h"

/* The last table that this transaction made, for the echo. */
static uint64_t last_handle = 0x100000;

/* Numbers are in network byte order here. */
static uint32_t number(struct fake_attributes in, uint16_t type)
{
	return ntohl(fake_number(in, type, 0));
}

static struct fake_table *find_table(uint8_t family, const char *name)
{
	for (size_t i = 0; name && i < FAKE_TABLES; i++) {
		struct fake_table *table = &fake.tables[i];

		if (table->handle != 0 && table->family == family && strcmp(table->name, name) == 0)
			return table;
	}
	return NULL;
}

static struct fake_table *find_handle(uint8_t family, struct fake_attributes attributes)
{
	size_t length;
	uint64_t handle;
	const void *at = fake_attribute(attributes, NFTA_TABLE_HANDLE, &length);

	if (!at)
		return NULL;
	require(length == sizeof(handle));
	memcpy(&handle, at, sizeof(handle));
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		if (handle != 0 && fake.tables[i].handle == be64toh(handle) && fake.tables[i].family == family)
			return &fake.tables[i];
	}
	return NULL;
}

/* User data of a claim, as guard.c has them. */
struct owner {
	uint8_t type, length;
	uint32_t user;
} __attribute__((packed));

static void describe(struct fake_part *part, struct fake_socket *socket, const struct nlmsghdr *question,
		     const struct fake_table *table)
{
	const struct nfgenmsg header = { .nfgen_family = table->family };
	const uint32_t flags = htonl(table->owner >= 0 ? NFT_TABLE_F_OWNER : 0);
	const uint64_t handle = htobe64(table->handle);
	const struct owner owner = { 'B', sizeof(owner.user), table->user };
	size_t at = fake_begin(part, socket, question, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, &header,
			       sizeof(header));

	fake_put(part, NFTA_TABLE_NAME, table->name, strlen(table->name) + 1);
	fake_put(part, NFTA_TABLE_FLAGS, &flags, sizeof(flags));
	fake_put(part, NFTA_TABLE_HANDLE, &handle, sizeof(handle));
	if (table->claim)
		fake_put(part, NFTA_TABLE_USERDATA, &owner, sizeof(owner));
	fake_end(part, at);
}

static void dump_tables(struct fake_socket *socket, const struct nlmsghdr *question)
{
	static struct fake_part part;
	const struct nfgenmsg *header = NLMSG_DATA(question);
	const int32_t status = 0;

	part.length = 0;
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		const struct fake_table *table = &fake.tables[i];

		if (table->handle != 0 &&
		    (header->nfgen_family == NFPROTO_UNSPEC || header->nfgen_family == table->family))
			describe(&part, socket, question, table);
	}
	fake_end(&part, fake_begin(&part, socket, question, NLMSG_DONE, &status, sizeof(status)));
	fake_answer(socket, part.bytes, part.length);
}

/* The claims there are, of the caller and of all. */
void fake_count_claims(unsigned int *ret_user, unsigned int *ret_all)
{
	*ret_user = *ret_all = 0;
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		const struct fake_table *table = &fake.tables[i];

		*ret_all += table->handle != 0 && table->claim;
		*ret_user += table->handle != 0 && table->claim && table->user == fake.user;
	}
}

/*
 * Requirement: a claim is the real user's, lives no longer than the helper, and comes with a request in its state. It
 * is for the tables that were counted, and the only one.
 */
static void note_user(struct fake_table *table, struct fake_attributes attributes)
{
	struct owner owner;
	size_t length;
	const void *data = fake_attribute(attributes, NFTA_TABLE_USERDATA, &length);

	if (!data)
		return;
	require(length == sizeof(owner) && table->owner >= 0 && fake.may_attach);
	memcpy(&owner, data, sizeof(owner));
	require(owner.type == 'B' && owner.length == sizeof(owner.user) && owner.user == fake.user);
	require(fake.batch_generation != 0 && (fake.n_claims == 0 || fake.lied));
	require(sscanf(table->name, "boundary_%u", &fake.claimed_index) == 1);
	fake.n_claims++;
	fake_count_claims(&fake.claims_of_user, &fake.claims_of_all);
	table->user = owner.user;
	table->claim = true;
}

static int new_table(const struct fake_socket *socket, const struct nlmsghdr *message, uint8_t family,
		     struct fake_attributes attributes)
{
	const char *name = fake_string(attributes, NFTA_TABLE_NAME);
	struct fake_table *table = find_table(family, name);
	bool owned = number(attributes, NFTA_TABLE_FLAGS) & NFT_TABLE_F_OWNER;

	require(name && strncmp(name, "boundary_", 9) == 0);
	if (table && table->owner >= 0 && table->owner != socket->fd)
		return -EPERM;
	if (table)
		return message->nlmsg_flags & NLM_F_EXCL ? -EEXIST : 0;
	if (!(message->nlmsg_flags & NLM_F_CREATE))
		return -ENOENT;
	for (size_t i = 0; i < FAKE_TABLES; i++) {
		if (fake.tables[i].handle != 0)
			continue;
		fake.tables[i] = (struct fake_table){
			.handle = ++last_handle, .family = family, .made = true, .owner = owned ? socket->fd : -1
		};
		snprintf(fake.tables[i].name, sizeof(fake.tables[i].name), "%s", name);
		note_user(&fake.tables[i], attributes);
		return 0;
	}
	/* To delete what may not be there, the helper makes it first. */
	fake.unlucky = fake.delete_failed = true;
	return -ENOMEM;
}

static int delete_table(const struct fake_socket *socket, uint8_t family, struct fake_attributes attributes)
{
	struct fake_table *table = find_table(family, fake_string(attributes, NFTA_TABLE_NAME));

	if (!table)
		table = find_handle(family, attributes);
	if (!table)
		return -ENOENT;
	if (table->owner >= 0 && table->owner != socket->fd)
		return -EPERM;
	table->handle = 0;
	return 0;
}

/* Requirement: what translates lives no longer than the helper, and is made on a request in its state. */
static void check_chain(const struct fake_table *table, bool translates)
{
	require(fake.may_attach || fake.may_redirect);
	if (translates)
		require(table->owner >= 0 && fake.may_redirect && table->family == NFPROTO_IPV4);
}

static int new_chain(uint8_t family, struct fake_attributes attributes)
{
	struct fake_table *table = find_table(family, fake_string(attributes, NFTA_CHAIN_TABLE));
	struct fake_attributes hook = fake_nested(attributes, NFTA_CHAIN_HOOK);
	const char *type = fake_string(attributes, NFTA_CHAIN_TYPE),
		   *device = hook.at ? fake_string(hook, NFTA_HOOK_DEV) : NULL;
	bool translates = type && strcmp(type, "nat") == 0;

	if (!table)
		return -ENOENT;
	check_chain(table, translates);
	table->translates |= translates;
	if (family != NFPROTO_NETDEV)
		return 0;
	if (!device || !fake_link_by_name(device))
		return -ENOENT;
	if (number(hook, NFTA_HOOK_HOOKNUM) == NF_NETDEV_INGRESS && number(attributes, NFTA_CHAIN_POLICY) == NF_DROP)
		snprintf(table->guarded, sizeof(table->guarded), "%s", device);
	return 0;
}

static int new_rule(uint8_t family, struct fake_attributes attributes)
{
	struct fake_table *table = find_table(family, fake_string(attributes, NFTA_RULE_TABLE));

	if (!table)
		return -ENOENT;
	require(fake_nested(attributes, NFTA_RULE_EXPRESSIONS).length > 0);
	table->rules++;
	return 0;
}

/* Requirement: timeouts are for the connections of the session, and go with the helper. */
static int new_object(uint8_t family, struct fake_attributes attributes)
{
	const struct fake_table *table = find_table(family, fake_string(attributes, NFTA_OBJ_TABLE));

	if (!table)
		return -ENOENT;
	require(number(attributes, NFTA_OBJ_TYPE) == NFT_OBJECT_CT_TIMEOUT && fake_string(attributes, NFTA_OBJ_NAME));
	require(table->owner >= 0 && table->claim && fake.may_redirect);
	return 0;
}

static int execute(const struct fake_socket *socket, const struct nlmsghdr *message)
{
	const struct nfgenmsg *header = NLMSG_DATA(message);
	struct fake_attributes attributes = fake_behind(message, sizeof(*header));

	require(fake.privileges == PRIVILEGES_EFFECTIVE);
	switch (message->nlmsg_type & 0xff) {
	case NFT_MSG_NEWTABLE:
		return new_table(socket, message, header->nfgen_family, attributes);
	case NFT_MSG_DELTABLE:
		return delete_table(socket, header->nfgen_family, attributes);
	case NFT_MSG_NEWCHAIN:
		return new_chain(header->nfgen_family, attributes);
	case NFT_MSG_NEWRULE:
		return new_rule(header->nfgen_family, attributes);
	case NFT_MSG_NEWOBJ:
		return new_object(header->nfgen_family, attributes);
	default:
		return -EOPNOTSUPP;
	}
}

/* What a transaction made is told when it is done. */
static void echo_tables(struct fake_socket *socket, const void *bytes, size_t length)
{
	static struct fake_part part;
	const struct nlmsghdr *message;

	while ((message = fake_message(&bytes, &length))) {
		const struct nfgenmsg *header = NLMSG_DATA(message);
		const struct fake_table *table;

		if (!(message->nlmsg_flags & NLM_F_ECHO) ||
		    message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE))
			continue;
		table = find_table(header->nfgen_family,
				   fake_string(fake_behind(message, sizeof(*header)), NFTA_TABLE_NAME));
		if (!table)
			continue;
		part.length = 0;
		describe(&part, socket, message, table);
		fake_answer(socket, part.bytes, part.length);
	}
}

static void tell_generation(struct fake_socket *socket, const struct nlmsghdr *question)
{
	static struct fake_part part;
	const struct nfgenmsg header = { 0 };
	const uint32_t generation = htonl(fake.generation);
	size_t at;

	part.length = 0;
	at = fake_begin(&part, socket, question, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN, &header, sizeof(header));
	fake_put(&part, NFTA_GEN_ID, &generation, sizeof(generation));
	fake_end(&part, at);
	fake_answer(socket, part.bytes, part.length);
	fake_acknowledge(socket, question, 0);
}

/* True if the transaction is for tables as they were before another one (nfnetlink_rcv_batch() of the kernel). */
static bool is_stale(const struct nlmsghdr *begin)
{
	fake.batch_generation = number(fake_behind(begin, sizeof(struct nfgenmsg)), NFNL_BATCH_GENID);
	return fake.batch_generation != 0 && fake.batch_generation != fake.generation;
}

/* Requirement: the address is that of the claim's jail; nobody else's connections go. */
static void forget_connections(struct fake_socket *socket, const struct nlmsghdr *message)
{
	struct fake_attributes attributes = fake_behind(message, sizeof(struct nfgenmsg));
	struct fake_attributes tuple = fake_nested(attributes, CTA_TUPLE_ORIG);
	struct fake_attributes filter = fake_nested(attributes, CTA_FILTER);
	uint32_t address = number(fake_nested(tuple, CTA_TUPLE_IP), CTA_IP_V4_SRC);

	require(fake.privileges == PRIVILEGES_EFFECTIVE);
	require(fake_number(filter, CTA_FILTER_ORIG_FLAGS, 0) == 1); /* or it would be all that are tracked */
	require(fake.lied || (fake.n_claims == 1 && address & 1));
	require(fake.lied || fake.pool == 0 || address == fake.pool + 2 * fake.claimed_index + 1);
	fake_acknowledge(socket, message, 0);
}

void fake_execute_nft(struct fake_socket *socket, const void *bytes, size_t length)
{
	static struct fake_table before[FAKE_TABLES];
	const struct nlmsghdr *message;
	const void *at = bytes;
	size_t left = length;
	bool began = false, ended = false, failed = false;

	memcpy(before, fake.tables, sizeof(before));
	while ((message = fake_message(&at, &left))) {
		int r;

		require((message->nlmsg_flags & NLM_F_REQUEST) && !ended);
		if (!began && message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE)) {
			dump_tables(socket, message);
			return;
		}
		if (!began && message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN)) {
			tell_generation(socket, message);
			return;
		}
		if (!began && message->nlmsg_type == (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE)) {
			forget_connections(socket, message);
			return;
		}
		if (message->nlmsg_type == NFNL_MSG_BATCH_BEGIN && is_stale(message)) {
			fake_acknowledge(socket, message, -ERESTART);
			return;
		}
		if (message->nlmsg_type == NFNL_MSG_BATCH_BEGIN || message->nlmsg_type == NFNL_MSG_BATCH_END) {
			ended = message->nlmsg_type == NFNL_MSG_BATCH_END;
			require(began == ended);
			began = true;
			continue;
		}
		/* Requirement: all of it or nothing. */
		require(began && message->nlmsg_type >> 8 == NFNL_SUBSYS_NFTABLES);
		r = execute(socket, message);
		failed |= r < 0;
		fake_acknowledge(socket, message, r);
	}
	require(ended);
	if (failed) {
		memcpy(fake.tables, before, sizeof(before));
		return;
	}
	fake.generation++;
	echo_tables(socket, bytes, length);
}
