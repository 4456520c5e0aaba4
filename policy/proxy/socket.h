/* Options that every TCP connection of the proxy gets. */
#pragma once

/*
 * No Nagle delay; dead peers noticed after some minutes. What cannot be set is left. Connections inherit this from the
 * listening socket they are accepted from.
 */
void socket_tune(int fd);

/*
 * Acknowledges at once what has been received: a sender with Nagle's algorithm on (RFC 9293 section 3.7.4) holds the
 * next small piece back until then, for 40 ms where acknowledgements are delayed. Lasts until the next octets are sent.
 */
void socket_acknowledge(int fd);
