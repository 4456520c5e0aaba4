/* The index by host: see index.h. */
#include "policy/rules/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/domain.h"

struct index_node {
	uint32_t parent;
	uint32_t label; /* offset in index->labels */
	uint32_t label_length;
	struct rule_list exact; /* patterns that end here: the host must, too */
	struct rule_list open;  /* patterns whose first label is `*`: at least one more label of the host */
};

/* FNV-1a. Rules are the user's own, so it need not resist an enemy's choice of labels. */
static uint32_t hash_label(uint32_t parent, const char *label, size_t length)
{
	uint32_t hash = 2166136261u ^ parent;

	hash *= 16777619u;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)label[i]) * 16777619u;
	return hash ^ hash >> 15;
}

/* The slot that holds the child, or the free one where it belongs. */
static uint32_t *find_slot(const struct rule_index *index, uint32_t parent, const char *label, size_t length)
{
	size_t mask = index->n_slots - 1;

	for (size_t i = hash_label(parent, label, length) & mask;; i = (i + 1) & mask) {
		const struct index_node *node = &index->nodes[index->slots[i]];

		if (index->slots[i] == 0)
			return &index->slots[i];
		if (node->parent == parent && node->label_length == length &&
		    memcmp(index->labels + node->label, label, length) == 0)
			return &index->slots[i];
	}
}

/* Keeps the table at most half full. */
static int reserve_slot(struct rule_index *index)
{
	struct rule_index grown = *index;

	if (index->n_nodes * 2 < index->n_slots)
		return 0;
	grown.n_slots = index->n_slots ? index->n_slots * 2 : 64;
	grown.slots = calloc(grown.n_slots, sizeof(grown.slots[0]));
	if (!grown.slots)
		return -ENOMEM;
	for (size_t i = 1; i < index->n_nodes; i++) {
		const struct index_node *node = &index->nodes[i];

		*find_slot(&grown, node->parent, index->labels + node->label, node->label_length) = (uint32_t)i;
	}
	free(index->slots);
	*index = grown;
	return 0;
}

static int reserve_label(struct rule_index *index, size_t length)
{
	size_t capacity = index->labels_capacity ? index->labels_capacity : 1024;
	char *labels;

	while (capacity - index->labels_length < length)
		capacity *= 2;
	if (capacity > UINT32_MAX)
		return -ENOMEM;
	if (capacity == index->labels_capacity)
		return 0;
	labels = realloc(index->labels, capacity);
	if (!labels)
		return -ENOMEM;
	index->labels = labels;
	index->labels_capacity = capacity;
	return 0;
}

static int new_node(struct rule_index *index, uint32_t parent, const char *label, size_t length, uint32_t *ret)
{
	if (index->n_nodes >= UINT32_MAX || reserve_label(index, length) < 0 ||
	    rule_array_grow(&index->nodes, index->n_nodes, sizeof(index->nodes[0])) < 0)
		return -ENOMEM;
	index->nodes[index->n_nodes] = (struct index_node){ .parent = parent,
							    .label = (uint32_t)index->labels_length,
							    .label_length = (uint32_t)length };
	if (length > 0)
		memcpy(index->labels + index->labels_length, label, length);
	index->labels_length += length;
	*ret = (uint32_t)index->n_nodes++;
	return 0;
}

static int ensure_child(struct rule_index *index, uint32_t parent, const char *label, size_t length, uint32_t *ret)
{
	uint32_t *slot;

	if (reserve_slot(index) < 0)
		return -ENOMEM;
	slot = find_slot(index, parent, label, length);
	if (*slot == 0 && new_node(index, parent, label, length, slot) < 0)
		return -ENOMEM;
	*ret = *slot;
	return 0;
}

/* Makes the nodes of a pattern. *ret_open tells which list of the last node it belongs to. */
static int ensure_pattern(struct rule_index *index, const char *pattern, uint32_t *ret, bool *ret_open)
{
	size_t left = strlen(pattern);
	uint32_t node = 0;
	uint32_t unused;

	if (index->n_nodes == 0 && new_node(index, 0, "", 0, &unused) < 0)
		return -ENOMEM;
	*ret_open = false;
	while (left > 0 && !*ret_open) {
		size_t length;
		const char *label = domain_last_label(pattern, &left, &length);

		*ret_open = left == 0 && length == 1 && label[0] == '*';
		if (!*ret_open && ensure_child(index, node, label, length, &node) < 0)
			return -ENOMEM;
	}
	*ret = node;
	return 0;
}

static void forget(struct rule_index *index, const struct rule *rule)
{
	for (size_t i = 0; i < index->n_nodes; i++) {
		struct rule_list *lists[] = { &index->nodes[i].exact, &index->nodes[i].open };

		for (size_t j = 0; j < 2; j++) {
			if (lists[j]->count > 0 && lists[j]->rules[lists[j]->count - 1] == rule)
				lists[j]->count--;
		}
	}
}

static int add_pattern(struct rule_index *index, const char *pattern, struct rule *rule)
{
	struct rule_list *list;
	uint32_t node;
	bool open;

	if (ensure_pattern(index, pattern, &node, &open) < 0)
		return -ENOMEM;
	list = open ? &index->nodes[node].open : &index->nodes[node].exact;
	if (list->count > 0 && list->rules[list->count - 1] == rule)
		return 0;
	if (rule_array_grow(&list->rules, list->count, sizeof(struct rule *)) < 0)
		return -ENOMEM;
	list->rules[list->count++] = rule;
	return 0;
}

int rule_index_add(struct rule_index *index, struct rule *rule)
{
	if (rule->n_domains == 0)
		return add_pattern(index, "*", rule);
	for (size_t i = 0; i < rule->n_domains; i++) {
		if (add_pattern(index, rule->domains[i], rule) < 0) {
			forget(index, rule);
			return -ENOMEM;
		}
	}
	return 0;
}

void rule_index_clear(struct rule_index *index)
{
	for (size_t i = 0; i < index->n_nodes; i++) {
		free(index->nodes[i].exact.rules);
		free(index->nodes[i].open.rules);
	}
	free(index->nodes);
	free(index->labels);
	free(index->slots);
	*index = (struct rule_index){ 0 };
}

struct search {
	const struct rule_index *index;
	const char *host;
	rule_index_visit *visit;
	void *user;
	size_t looked_at;
};

static void report(struct search *search, const struct rule_list *list)
{
	if (list->count > 0)
		search->visit(list, search->user);
}

/* host[0..left) is still to be matched below `node`. As deep as the host has labels, 127 at most. */
static void descend(struct search *search, uint32_t node, size_t left)
{
	const struct rule_index *index = search->index;
	const char *label;
	size_t length;
	uint32_t child;

	search->looked_at++;
	if (left == 0) {
		report(search, &index->nodes[node].exact);
		return;
	}
	report(search, &index->nodes[node].open);
	if (index->n_slots == 0)
		return;
	label = domain_last_label(search->host, &left, &length);
	child = *find_slot(index, node, label, length);
	if (child)
		descend(search, child, left);
	child = *find_slot(index, node, "*", 1);
	if (child)
		descend(search, child, left);
}

size_t rule_index_find(const struct rule_index *index, const char *host, rule_index_visit *visit, void *user)
{
	struct search search = { .index = index, .host = host, .visit = visit, .user = user };

	if (index->n_nodes > 0)
		descend(&search, 0, strlen(host));
	return search.looked_at;
}
