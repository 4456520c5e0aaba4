/*
 * A config file: YAML 1.1 (libyaml), one mapping of known keys to scalars or lists of scalars. Anything else, aliases
 * included, is an error with its place.
 */
#pragma once

#include "launcher/options.h"
#include "shared/error.h"

#define CONFIG_SIZE_MAX (8u << 20) /* bytes */

/*
 * Reads the file at `path` and hands each value to `sink` with the source "PATH:LINE:COLUMN" (from 1). An empty file
 * and keys without a value set nothing. Returns 0; -EINVAL for wrong content, -EFBIG over CONFIG_SIZE_MAX, -errno of
 * open(2) or read(2), -ENOMEM, each with *e; or what the sink returned.
 */
int config_read(const char *path, option_sink sink, void *context, struct error *e);
