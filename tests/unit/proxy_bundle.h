/* Bundles of certificates for the suites of the proxy. */
#pragma once

#include <check.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/proxy/ca.h"

/* A file of so many octets, open for reading. */
static inline int bundle_with(const char *octets, size_t length)
{
	int fd = memfd_create("bundle", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, octets, length), (ssize_t)length);
	return fd;
}

/* One of the CA's certificate. */
static inline int bundle_of(const struct ca *ca)
{
	size_t length;
	const char *pem = ca_certificate_pem(ca, &length);

	return bundle_with(pem, length);
}
