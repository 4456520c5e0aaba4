# The parser alone, so that it builds and runs without the rest of the proxy.
http1_sources := $(addprefix policy/proxy/,http1.c http1_fields.c http1_target.c http1_chunked.c http1_write.c)
unit_tests += $(O)/tests/unit/test_http1
$(eval $(call program,tests/unit/test_http1,$(wildcard tests/unit/test_http1*.c) $(http1_sources),boundary,check))
