/* Reports of the attack programs, in the Test Anything Protocol: "ok" is an attack that failed, as it must. */
#pragma once

#include <stdbool.h>

/*
 * Reports one attack: "ok N - WHAT" if the jail held, else "not ok N - WHAT: DETAIL" with the formatted detail, which
 * says what got through.
 */
void tap_check(bool held, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Reports an attack that cannot be tried here: "ok N - WHAT # SKIP REASON". */
void tap_skip(const char *what, const char *reason);

/* A line that is no result, for the reader: what was sent, for those who watch the host's interfaces. */
void tap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the report with the plan line. Returns the exit status: 0 if every attack failed, else 1. */
int tap_end(void);
