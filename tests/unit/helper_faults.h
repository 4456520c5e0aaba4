/*
 * Fault injection for the helper's process: calls of libc by the helper and by the libraries it links (libnl, libcap,
 * libseccomp) come here first, because the program defines functions of their names. One chosen call fails.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum fault_kind {
	FAULT_ALLOCATION, /* malloc(3) and its like */
	FAULT_REQUEST,    /* sending a netlink request */
	FAULT_REFUSAL,    /* the kernel refuses it: it is not sent, and answered with an error */
	FAULT_ANSWER,     /* receiving an answer */
	FAULT_LOSS,       /* the answer is lost, and recv(2) says ENOBUFS (netlink(7)) */
	FAULT_DESCRIPTOR, /* making, asking or closing a descriptor */
	FAULT_PRIVILEGE,  /* capset(2), prctl(2), seccomp(2) */
	FAULT_MESSAGE,    /* the conversation with the peer */
	FAULT_KINDS
};

struct fault {
	enum fault_kind kind;
	unsigned int number; /* of the call of this kind that fails, from 1; 0: none does */
	int error;
};

#define FAULT_ANSWERS 3

/* What happened; in memory that the process shares with whoever looks at it. */
struct fault_record {
	unsigned int points[FAULT_KINDS];                  /* calls so far */
	unsigned int answered[FAULT_ANSWERS][FAULT_KINDS]; /* calls when the peer was answered the first time, … */
	unsigned int n_answers;
	bool injected;
	char call[24];        /* that failed */
	int open_descriptors; /* made and not closed */
	int live_blocks;      /* allocated and not freed */
	int strange_closes;   /* of what was not open */
};

/* From now on calls are counted, and one fails. `peer` is the socket of the conversation. */
void faults_begin(const struct fault *fault, struct fault_record *record, int peer);

/* From now on none is. */
void faults_end(void);
