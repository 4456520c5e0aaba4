/* Help and version texts: see usage.h. */
#include "launcher/usage.h"

#include <stdio.h>
#include <string.h>

#include "launcher/options.h"

#define SYNOPSIS "Usage: boundary-launch [flags] -- command [argument ...]\n"
#define HELP_COLUMN 28
#define LINE_WIDTH 96

static void print_option(FILE *out, const struct option_spec *spec)
{
	int width = spec->letter ? fprintf(out, "  -%c, --%s", spec->letter, spec->flag)
				 : fprintf(out, "      --%s", spec->flag);

	if (spec->argument)
		width += fprintf(out, " %s", spec->argument);
	/* At least two blanks, also after a long flag. */
	fprintf(out, "%*s%s\n", width < HELP_COLUMN - 1 ? HELP_COLUMN - width : 2, "", spec->help);
}

static void print_names(FILE *out)
{
	fputs("\nThe same as environment variable and as key of the config file:\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_spec *spec = &option_specs[i];

		if (spec->help && spec->environment)
			fprintf(out, "      --%-20s %-28s %s\n", spec->flag, spec->environment,
				spec->key ? spec->key : "-");
	}
	fputs("A flag wins over the environment, that over the user's file ($HOME/.config/boundary/config.yaml),\n"
	      "that over /etc/boundary/config.yaml. Rules of all of them add up.\n",
	      out);
}

static void print_inert(FILE *out)
{
	int column = LINE_WIDTH;

	fputs("\nAccepted for the sake of existing configurations, without effect in this version:", out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_specs[i].help)
			continue;
		if (column + (int)strlen(option_specs[i].flag) + 3 > LINE_WIDTH)
			column = fprintf(out, "\n     ");
		column += fprintf(out, " --%s", option_specs[i].flag);
	}
	fputs("\n", out);
}

void usage_help(FILE *out)
{
	fputs(SYNOPSIS
	      "Runs a command so that nothing it does on the network leaves the machine unless a rule allows it.\n\n",
	      out);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (option_specs[i].help)
			print_option(out, &option_specs[i]);
	fputs("\nA rule is key=value pairs; all must match, and one rule that does is enough:\n"
	      "      domain=github.com              this host, every method and path\n"
	      "      domain=*.github.com            the hosts below it\n"
	      "      method=GET,HEAD domain=api.example.com path=/v1/*\n",
	      out);
	print_names(out);
	print_inert(out);
	fputs("\nExit code: the command's; 128+N if signal N ended it; 127 command not found; 126 not executable;\n"
	      "125 an error of Boundary itself. With --explain: 0 allowed, 3 denied.\n"
	      "See boundary-launch(1).\n",
	      out);
}

void usage_version(FILE *out)
{
	fputs("boundary-launch " BOUNDARY_VERSION "\n", out);
}

void usage_hint(FILE *out)
{
	fputs(SYNOPSIS "'boundary-launch --help' lists the flags.\n", out);
}
