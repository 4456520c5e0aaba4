/* The command's environment: the inherited one with our CA named in every variable TLS clients read, and no proxies. */
#pragma once

/*
 * Builds it from `environment` (environ(7)). Each CA variable is set to the PEM file `bundle` (absolute path),
 * SSL_CERT_DIR to its directory; JAVA_TOOL_OPTIONS gets the PKCS#12 file `truststore` (password "changeit") after what
 * was there, and stays untouched when `truststore` is NULL. Proxy variables are dropped, in any case of letters. *ret
 * is NULL-terminated and one heap block: free(). Returns 0 or -ENOMEM.
 */
int child_env_build(char *const environment[], const char *bundle, const char *truststore, char ***ret);
