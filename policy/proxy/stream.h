/*
 * One socket type for plain TCP and TLS: non-blocking, with the same results for both, and one libev watcher whose
 * interest follows from what the owner wants and what TLS needs to get there. The program must ignore SIGPIPE.
 */
#pragma once

#include <ev.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shared/error.h"

struct stream;

/* The socket is ready for something the owner wanted: it tries again what gave -EAGAIN. May free the stream. */
typedef void stream_ready(void *user);

struct stream {
	struct ev_loop *loop;
	int fd;   /* -1: closed */
	SSL *ssl; /* NULL: plain */
	ev_io io;
	ev_timer again; /* goes on in the next round with octets that TLS holds already */
	stream_ready *ready;
	void *user;
	bool want_read;
	bool want_write;
	bool readable;              /* there may be something to read: false saves the system call that would say so */
	bool read_blocked_on_write; /* TLS key updates can turn the direction round */
	bool write_blocked_on_read;
	bool broken;        /* TLS must not be used any more, not even to say goodbye */
	bool ended;         /* stream_read() has returned 0 */
	bool writing_ended; /* stream_end() was done */
};

/* Takes over the non-blocking `fd`. `loop` and `user` must outlive the stream. */
void stream_open(struct stream *stream, struct ev_loop *loop, int fd, stream_ready *ready, void *user);

/* Runs TLS on it from here; `ssl` (accept or connect state set, owned by the stream from here). Returns 0 or -ENOMEM.
 */
int stream_start_tls(struct stream *stream, SSL *ssl);

/* Goes on with the TLS handshake. Returns 0 when done, -EAGAIN, or -EPROTO / -errno with *e. */
int stream_handshake(struct stream *stream, struct error *e);

/*
 * Reads up to `size` octets. Returns their number; 0 at the end (FIN, or TLS close_notify); -EAGAIN; -ECONNRESET also
 * for a TLS connection cut off without close_notify; -EPROTO for a TLS error; another -errno.
 */
ssize_t stream_read(struct stream *stream, void *buffer, size_t size);

/* Writes up to `size` octets (> 0). Returns their number, which may be less; -EAGAIN; -EPROTO; another -errno. */
ssize_t stream_write(struct stream *stream, const void *buffer, size_t size);

/* What to be woken for. Costs nothing when it does not change. Octets that TLS holds already count as readable. */
void stream_want(struct stream *stream, bool read, bool write);

/* Calls `ready` in the next round, whatever happens. */
void stream_again(struct stream *stream);

/* How many of the octets written the peer's kernel has not acknowledged (tcp(7), SIOCOUTQ). */
size_t stream_unacknowledged(const struct stream *stream);

/*
 * The peer is known not to be there any more (a reset, or no answer to keep-alive), which an owner that does not read
 * would not notice. A peer that has closed its socket without unread octets counts as there until it is asked for
 * something: by a write, or by keep-alive once its kernel has forgotten the connection.
 */
bool stream_is_gone(const struct stream *stream);

/* Octets have been decrypted or received by TLS and not yet read. */
bool stream_holds_input(const struct stream *stream);

/* Says that nothing more will be written (close_notify and FIN); reading goes on. */
void stream_end(struct stream *stream);

/* Closes in an orderly way as far as that goes without waiting. Safe on a closed stream. */
void stream_close(struct stream *stream);

/* Closes so that the peer notices that something is missing (RST). */
void stream_abort(struct stream *stream);
