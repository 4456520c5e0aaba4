/* The texts that the proxy itself answers with. Plain text; nothing of a request gets in unescaped. */
#pragma once

#include <stddef.h>

#include "policy/rules/rules.h"

#define PAGE_MAX 16384

/* Why a request was denied, beyond what the decision says. */
enum page_denial {
	PAGE_BY_RULES,
	PAGE_BY_ADDRESS, /* the rules allow the name, but not the address it leads to */
	PAGE_OURS,       /* … which is of 198.18.0.0/15: no rule leads there */
};

/*
 * Writes the page of a denied request to ret[PAGE_MAX]: what was refused, and the --allow options that would permit it,
 * narrowest first. `request->address` is the refused address unless PAGE_BY_RULES. Returns its length.
 */
size_t page_denied(const struct rule_request *request, const struct rule_decision *decision, enum page_denial denial,
		   char *ret);

/* Copies text[0..length) to ret[size] with control and non-ASCII octets as \xNN, cut to fit. Returns ret. */
const char *page_escape(const char *text, size_t length, char *ret, size_t size);
