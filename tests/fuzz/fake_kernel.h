/*
 * A kernel for the helper to talk to, within its own process: network namespaces as descriptors, interfaces, addresses,
 * routes, tables of nf_tables, and the netlink sockets that change them. It executes requests as Linux does, but for
 * what a script says: requests it refuses, answers it loses or spoils, system calls that fail, events between requests.
 *
 * fake_calls.c puts it in place of libc (ld's --wrap), while fake.active is true; fake_route.c and fake_nft.c execute
 * requests. What no request of the helper may ever do is asserted there.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/privileges.h"

#define FAKE_LINKS 160
#define FAKE_TABLES 160
#define FAKE_SOCKETS 8
#define FAKE_DATAGRAMS 256
#define FAKE_ANSWER_MAX 65536
#define FAKE_DEVIATIONS 16
#define FAKE_CONFIG_MAX 8192
#define FAKE_STRANGER 1000

/* What a descriptor leads to. */
enum fake_object {
	FAKE_NOTHING,
	FAKE_FILE,
	FAKE_MOUNT_NAMESPACE,
	FAKE_HOST,           /* network namespaces: the helper's own */
	FAKE_JAIL,           /* the caller's jail */
	FAKE_FOREIGN_JAIL,   /* another user's */
	FAKE_NESTED_JAIL,    /* made inside the caller's jail */
	FAKE_HOST_NEIGHBOUR, /* another one of the host's user namespace */
	FAKE_HIDDEN,         /* of a user namespace above the helper's */
	FAKE_HOST_USERS,     /* user namespaces: the helper's own */
	FAKE_JAIL_USERS,
	FAKE_FOREIGN_USERS,
	FAKE_NESTED_USERS,
	FAKE_OBJECTS
};

struct fake_link {
	uint32_t index; /* 0: free */
	char name[IFNAMSIZ], alias[64];
	uint32_t address; /* host byte order, 0 for none */
	bool up, forwards;
	bool made; /* by the helper, in this session */
	enum fake_object peer;
};

struct fake_table {
	uint64_t handle; /* 0: free */
	uint8_t family;
	char name[32];
	int owner;  /* descriptor, -1 for none, FAKE_STRANGER for a process that is not the helper */
	bool claim; /* has user data that says whose it is: */
	uint32_t user;
	bool made;
	bool translates;        /* has a chain of type nat */
	char guarded[IFNAMSIZ]; /* the device whose ingress it drops by default */
	unsigned int rules;
};

/* An address or route of the host's beside the cables. */
struct fake_prefix {
	uint32_t address;
	uint8_t length;
	bool route;
};

/* What differs from an honest and lucky kernel, in the words of a script: a letter each. */
enum fake_deviation_kind {
	FAKE_REFUSE = 'E',     /* the request is not executed and answered with an errno */
	FAKE_UNSENT = 'S',     /* sending it fails */
	FAKE_LOST = 'L',       /* it is executed, but one of the answers is lost, and recv(2) says so */
	FAKE_FAIL = 'I',       /* a recv(2) of its answers fails, without a loss */
	FAKE_CUT = 'T',        /* an answer ends early */
	FAKE_CHANGE = 'M',     /* an octet of an answer is another */
	FAKE_DOUBLE = 'D',     /* an answer comes twice */
	FAKE_GARBAGE = 'G',    /* an answer to nothing */
	FAKE_RETOLD = 'Y',     /* a dump says that what it tells of has changed meanwhile */
	FAKE_JAIL_ENDS = 'X',  /* before the request, the jail ends, and all its interfaces with it */
	FAKE_FLUSH = 'F',      /* before the request, an administrator removes all tables that have no owner */
	FAKE_NAME_TAKEN = 'N', /* before the request, somebody takes the lowest free name of a cable */
	FAKE_CLAIMED = 'C',    /* before the request, somebody claims the lowest free index */
};

struct fake_deviation {
	uint8_t kind;
	uint8_t request; /* the number of the netlink request, from 0 */
	uint8_t which;   /* the number of its answer */
	uint16_t where;  /* an octet of it */
	uint8_t value;   /* of the octet, or of the errno in fake_errno() */
};

/* System calls that a script makes fail. */
enum fake_call {
	FAKE_CALL_SOCKET,
	FAKE_CALL_OPEN,
	FAKE_CALL_READ,
	FAKE_CALL_WRITE,
	FAKE_CALL_IOCTL,
	FAKE_CALL_STAT,
	FAKE_CALL_PRIVILEGE, /* raising or dropping the capability */
	FAKE_CALL_CONFINE,
	FAKE_CALL_ALLOCATE,
	FAKE_CALL_PEER_SEND, /* to the peer */
	FAKE_CALL_PEER_RECEIVE,
	FAKE_CALL_PEER_WAIT,
	FAKE_CALLS
};

struct fake_socket {
	int fd; /* -1: free */
	int protocol;
	int pending_error; /* what the next recv(2) says instead */
};

/* An answer that waits to be received. */
struct fake_datagram {
	const struct fake_socket *socket;
	size_t at, length; /* in fake.answers */
};

struct fake_kernel {
	bool active;

	/* The world. */
	uid_t user;
	bool ipv6, jail_has_eth0;
	struct fake_link links[FAKE_LINKS];
	struct fake_table tables[FAKE_TABLES];
	uint32_t generation;       /* of tables: the number of the last transaction */
	uint32_t batch_generation; /* the one that the transaction is for, or 0 */
	uint32_t pool;             /* of addresses, if the target knows it, or 0 */
	struct fake_prefix prefixes[8];
	size_t n_prefixes;
	uint8_t config[FAKE_CONFIG_MAX];
	size_t config_length;
	bool has_config;
	mode_t config_mode;
	uid_t config_owner;

	/* The process. */
	int peer; /* its end of the conversation */
	enum privileges privileges;
	enum stage stage;
	bool deadline;     /* setitimer(2) */
	bool drop_refused; /* the capability could not be dropped */
	struct fake_socket sockets[FAKE_SOCKETS];
	bool allocated;                /* the buffer for requests */
	size_t n_received;             /* packets of the peer's */
	bool may_attach, may_redirect; /* the last packet received was this request, in its state */

	/* The script. */
	struct fake_deviation deviations[FAKE_DEVIATIONS];
	size_t n_deviations;
	struct {
		uint8_t which, error;
		bool fails;
	} failures[FAKE_CALLS];
	unsigned int n_calls[FAKE_CALLS];

	/* What happened. */
	unsigned int n_requests, n_created;
	unsigned int n_claims, claimed_index;       /* by the helper */
	unsigned int claims_of_user, claims_of_all; /* what there were just before */
	bool lied;                                  /* an answer was not what the kernel had done */
	bool unlucky;       /* something was refused, failed or happened that an honest world has not */
	bool delete_failed; /* a link or a table could not be deleted, for it was refused or the capability was */
	bool flushed;
	bool disturbed; /* somebody else changed what the session had made */

	struct fake_datagram datagrams[FAKE_DATAGRAMS];
	size_t n_datagrams, n_answer_octets;
	_Alignas(8) unsigned char answers[FAKE_ANSWER_MAX];
};

extern struct fake_kernel fake;

/* An empty world: the caller is user 1000, there is IPv6, nothing fails. */
void fake_reset(void);

/* A descriptor that leads to the object; stays open, and the kernel's. */
int fake_descriptor(enum fake_object object);

/* What a descriptor leads to. */
enum fake_object fake_object_of(int fd);

/* The tables that belong to a socket go with it. */
void fake_close(struct fake_socket *socket);

/* Ends the process: its sockets are closed, and the tables that belong to them go. Returns how many were open. */
size_t fake_exit(void);

/* Defined by the target: a packet of the peer's, or its end of file, was received. */
void fake_received(void);

/* Defined by the target: this is sent to the peer. */
struct msghdr;
void fake_answering(const struct msghdr *message);

/* An errno by number, any number. */
int fake_errno(uint8_t number);

/* True if this call, the next of its kind, fails by the script; then errno is set. */
bool fake_fails(enum fake_call call);

/* The links and tables, NULL if there is none. */
struct fake_link *fake_link_by_index(uint32_t index);
struct fake_link *fake_link_by_name(const char *name);
struct fake_link *fake_link_add(const char *name);
/* By the helper, in this session. */
bool fake_is_claimed(const struct fake_link *link);
bool fake_link_is_guarded(const struct fake_link *link);

/* The claims there are, of the caller and of all. */
void fake_count_claims(unsigned int *ret_user, unsigned int *ret_all);

/* Removes all interfaces into the caller's jail. */
void fake_end_jail(void);

/* Executes a datagram of requests and queues the answers. Returns 0 or -errno of sending it. */
int fake_send(struct fake_socket *socket, const void *bytes, size_t length);

/* Takes the next answer: its length, or -errno. */
ssize_t fake_receive(struct fake_socket *socket, void *ret, size_t size);

struct nlmsghdr;

/* Of one protocol each; `fake_answer` queues one datagram. */
void fake_execute_route(struct fake_socket *socket, const void *bytes, size_t length);
void fake_execute_nft(struct fake_socket *socket, const void *bytes, size_t length);
void fake_answer(struct fake_socket *socket, const void *bytes, size_t length);

/* An acknowledgement of this message, if it asks for one, or an error (negative). */
void fake_acknowledge(struct fake_socket *socket, const struct nlmsghdr *message, int error);

/* Takes the next message off a datagram at *at; NULL at its end. */
const struct nlmsghdr *fake_message(const void **at, size_t *left);

/* Attributes of a message, or within one; those of the helper are whole. */
struct fake_attributes {
	const unsigned char *at; /* NULL: there are none */
	size_t length;
};

/* Those behind a header of the family that is `header` octets long. */
struct fake_attributes fake_behind(const struct nlmsghdr *message, size_t header);

/* The first of this type: its value with its length, or NULL; as nest, text, number of 32 bits. */
const void *fake_attribute(struct fake_attributes in, uint16_t type, size_t *ret_length);
struct fake_attributes fake_nested(struct fake_attributes in, uint16_t type);
const char *fake_string(struct fake_attributes in, uint16_t type);
uint32_t fake_number(struct fake_attributes in, uint16_t type, uint32_t otherwise);

/* A datagram of answers in the making. */
struct fake_part {
	_Alignas(8) unsigned char bytes[2048];
	size_t length;
};

/*
 * Begins a message that answers `question`, with the header of its family; what was there is queued if there may be no
 * room. Returns where it begins. Adds an attribute. Ends the message that began there.
 */
size_t fake_begin(struct fake_part *part, struct fake_socket *socket, const struct nlmsghdr *question, uint16_t type,
		  const void *header, size_t length);
void fake_put(struct fake_part *part, uint16_t type, const void *value, size_t length);
void fake_end(struct fake_part *part, size_t at);
