/*
 * A limit for the lines that the command can cause at will and that are no records of judged requests. Each kind has a
 * token bucket of its own; what that holds back is counted, and a line says how many it was, while it goes on and at
 * the end.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/log.h"

#define DIAGNOSTICS_BURST 50      /* lines of a kind at once … */
#define DIAGNOSTICS_RATE 10       /* … and each second */
#define DIAGNOSTICS_INTERVAL 10.0 /* seconds between two lines that say how many were held back */

enum diagnostic {
	DIAGNOSTIC_STRAY,     /* connections from elsewhere, or to the proxy itself */
	DIAGNOSTIC_SHORTAGE,  /* connections that cannot be accepted for now */
	DIAGNOSTIC_TIMEOUT,   /* connections that took too long */
	DIAGNOSTIC_HANDSHAKE, /* TLS handshakes that failed */
	DIAGNOSTIC_PROTOCOL,  /* connections that are neither TLS nor HTTP */
	DIAGNOSTIC_REQUEST,   /* requests that cannot be read or are not taken (4xx) */
	DIAGNOSTIC_DECLINED,  /* … and the records of those that were never judged */
	DIAGNOSTIC_MISMATCH,  /* requests that name two hosts */
	DIAGNOSTIC_FAILURE,   /* requests that were allowed and failed (5xx) */
	DIAGNOSTIC_KINDS
};

struct diagnostics {
	struct ev_loop *loop;
	ev_timer summary; /* runs while something has been held back */
	struct {
		double tokens;
		ev_tstamp filled; /* when `tokens` was right */
		uint64_t held_back;
	} kinds[DIAGNOSTIC_KINDS];
};

/* `loop` must outlive it. */
void diagnostics_start(struct diagnostics *diagnostics, struct ev_loop *loop);

/* Says what is still to be said. Harmless on what was never started, or twice. */
void diagnostics_end(struct diagnostics *diagnostics);

/* May a line of this kind be written now? If not, it has been counted. */
bool diagnostics_allow(struct diagnostics *diagnostics, enum diagnostic kind);

/* The same for log_line() and its like: false as well if no line of this level is wanted. */
bool diagnostics_wants(struct diagnostics *diagnostics, enum diagnostic kind, enum log_level level);
