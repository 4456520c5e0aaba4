/* What boundary-launch says about itself. All made from the option table (options.h). */
#pragma once

#include <stdio.h>

/* --help: synopsis, every setting that has an effect, examples, exit codes. */
void usage_help(FILE *out);

/* --version: "boundary-launch VERSION". */
void usage_version(FILE *out);

/* After a wrong command line: the synopsis and where to find more; two lines. */
void usage_hint(FILE *out);
