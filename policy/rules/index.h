/*
 * Finds the rules that may apply to a host without looking at the others: a trie of the labels of their host patterns,
 * from the last label to the first. Private to policy/rules.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/rules/rule.h"

/* In the order in which they were added. */
struct rule_list {
	struct rule **rules; /* borrowed from the set */
	size_t count;
};

struct index_node;

/* Zero-initialise. */
struct rule_index {
	struct index_node *nodes; /* nodes[0] is the root */
	size_t n_nodes;
	char *labels; /* the text of all labels, one after the other */
	size_t labels_length, labels_capacity;
	uint32_t *slots; /* open hash table of node numbers by parent and label; 0: free */
	size_t n_slots;  /* a power of two */
};

void rule_index_clear(struct rule_index *index);

/* Adds a rule under each of its patterns. Returns 0, or -ENOMEM with no trace of the rule left. */
int rule_index_add(struct rule_index *index, struct rule *rule);

typedef void rule_index_visit(const struct rule_list *list, void *user);

/*
 * Calls `visit` for each list of rules one of whose patterns matches the canonical host, or that have none. A rule may
 * come more than once. The lists found, not the rules in the index, decide about the cost. Returns the number of trie
 * nodes looked at.
 */
size_t rule_index_find(const struct rule_index *index, const char *host, rule_index_visit *visit, void *user);
