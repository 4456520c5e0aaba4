# The modules' own objects, so that these suites build and run without the rest of the proxy.
dns_test_sources := $(addprefix policy/proxy/,names.c keyed_hash.c dns_codec.c dns_answer.c dns_server.c resolver.c) \
	$(addprefix policy/rules/,host.c text.c address.c)
dns_test = $(eval unit_tests += $(O)/tests/unit/test_$(1))$(eval $(call program,tests/unit/test_$(1),\
	tests/unit/test_$(1).c $(dns_test_sources),boundary,check libidn2 libcares,-lev))

$(call dns_test,names)
$(call dns_test,dns_codec)
$(call dns_test,dns_server)
$(call dns_test,resolver)
