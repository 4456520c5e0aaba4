/* A limit for lines: see diagnostics.h. */
#include "policy/proxy/diagnostics.h"

#include <inttypes.h>
#include <stdio.h>

#include "shared/cleanup.h"

static const char *const names[DIAGNOSTIC_KINDS] = {
	[DIAGNOSTIC_STRAY] = "stray connection",
	[DIAGNOSTIC_SHORTAGE] = "connection not accepted",
	[DIAGNOSTIC_TIMEOUT] = "timeout",
	[DIAGNOSTIC_HANDSHAKE] = "failed TLS handshake",
	[DIAGNOSTIC_PROTOCOL] = "neither TLS nor HTTP",
	[DIAGNOSTIC_REQUEST] = "refused request",
	[DIAGNOSTIC_DECLINED] = "record of a refused request",
	[DIAGNOSTIC_MISMATCH] = "mismatch",
	[DIAGNOSTIC_FAILURE] = "failed request",
};

static void summarise(struct diagnostics *diagnostics)
{
	char count[24];

	for (size_t kind = 0; kind < DIAGNOSTIC_KINDS; kind++) {
		const struct log_field fields[] = { { "kind", names[kind] }, { "count", count } };

		if (diagnostics->kinds[kind].held_back == 0)
			continue;
		snprintf(count, sizeof(count), "%" PRIu64, diagnostics->kinds[kind].held_back);
		diagnostics->kinds[kind].held_back = 0;
		log_event(LOG_LEVEL_WARN, "more lines of this kind were held back", fields, array_size(fields));
	}
}

static void on_summary(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	summarise(timer->data);
}

void diagnostics_start(struct diagnostics *diagnostics, struct ev_loop *loop)
{
	*diagnostics = (struct diagnostics){ .loop = loop };
	for (size_t kind = 0; kind < DIAGNOSTIC_KINDS; kind++) {
		diagnostics->kinds[kind].tokens = DIAGNOSTICS_BURST;
		diagnostics->kinds[kind].filled = ev_now(loop);
	}
	ev_timer_init(&diagnostics->summary, on_summary, DIAGNOSTICS_INTERVAL, 0);
	diagnostics->summary.data = diagnostics;
}

void diagnostics_end(struct diagnostics *diagnostics)
{
	if (!diagnostics->loop)
		return;
	ev_timer_stop(diagnostics->loop, &diagnostics->summary);
	summarise(diagnostics);
}

static void hold_back(struct diagnostics *diagnostics, enum diagnostic kind)
{
	diagnostics->kinds[kind].held_back++;
	if (ev_is_active(&diagnostics->summary))
		return;
	ev_timer_set(&diagnostics->summary, DIAGNOSTICS_INTERVAL, 0);
	ev_timer_start(diagnostics->loop, &diagnostics->summary);
}

bool diagnostics_allow(struct diagnostics *diagnostics, enum diagnostic kind)
{
	double *tokens = &diagnostics->kinds[kind].tokens;
	ev_tstamp now = ev_now(diagnostics->loop);
	double passed = now - diagnostics->kinds[kind].filled;

	diagnostics->kinds[kind].filled = now;
	/* The clock of the day may jump either way. */
	if (passed > 0)
		*tokens += passed * DIAGNOSTICS_RATE;
	if (*tokens > DIAGNOSTICS_BURST)
		*tokens = DIAGNOSTICS_BURST;
	if (*tokens < 1) {
		hold_back(diagnostics, kind);
		return false;
	}
	*tokens -= 1;
	return true;
}

bool diagnostics_wants(struct diagnostics *diagnostics, enum diagnostic kind, enum log_level level)
{
	return log_enabled(level) && diagnostics_allow(diagnostics, kind);
}
