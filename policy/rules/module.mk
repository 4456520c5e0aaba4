# Programs and tests that link this library also link libidn2.
rules_sources := $(addprefix policy/rules/,address.c domain.c explain.c host.c index.c lexer.c match.c parser.c \
	path.c rules.c suggest.c text.c)
$(call objects,$(rules_sources)): cppflags += $(call pkg_cflags,libidn2)
$(eval $(call library,boundary-rules,$(rules_sources)))
