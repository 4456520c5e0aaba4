/* The helper's end of the conversation (shared/helper_protocol.h). */
#pragma once

/*
 * Serves one session on `socket` (stays the caller's): executes the requests in their order, each with CAP_NET_ADMIN in
 * effect, and answers. Anything but the next request whole, silence for HELPER_REQUEST_TIMEOUT_MS before it serves, and
 * any failure remove everything, answer HELPER_FAILED and end it.
 * Returns 0 after HELPER_DETACH or the peer's end of file, -errno after a failure.
 */
int request_serve(int socket);
