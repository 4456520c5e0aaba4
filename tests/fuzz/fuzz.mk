# libFuzzer targets: built by clang with flags of their own, whatever CC, CFLAGS and SANITIZE are.

FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 30

fuzz_sanitizers := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
fuzz_cflags := -O1 -g -std=gnu17 $(warnings) -fno-omit-frame-pointer $(fuzz_sanitizers)
fuzz_objects = $(patsubst %.c,$(O)/tests/fuzz/obj/%.o,$(1))

# $(call fuzzer,NAME,SOURCES BESIDE tests/fuzz/fuzz_NAME.c,PKG-CONFIG NAMES,OTHER LINKER FLAGS)
define fuzzer
fuzzers += $(O)/tests/fuzz/fuzz_$(1)
fuzz_sources += tests/fuzz/fuzz_$(1).c $(2)
$(O)/tests/fuzz/fuzz_$(1): $(call fuzz_objects,tests/fuzz/fuzz_$(1).c $(2))
	$$(say) LINK $$@
	$$(Q)$$(FUZZ_CC) $$(fuzz_cflags) -o $$@ $$^ $$(call pkg_libs,$(3)) $(4)
endef

fuzz_dns_parts := $(addprefix policy/proxy/,dns_answer.c dns_codec.c names.c keyed_hash.c) $(rules_sources) shared/error.c
$(eval $(call fuzzer,dns,$(fuzz_dns_parts),libidn2))
$(eval $(call fuzzer,http1,$(sort $(wildcard policy/proxy/http1*.c)) shared/error.c))
$(eval $(call fuzzer,rules,$(rules_sources) shared/error.c,libidn2))

# The helper, with what it calls of libc replaced.
fuzz_helper_parts := $(helper_sources) $(netlink_sources) $(shared_sources) tests/attack/helper_peer.c \
	$(addprefix tests/fuzz/,fake_kernel.c fake_calls.c fake_route.c fake_nft.c)
fuzz_helper_calls := privileges_set privileges_confine setitimer getuid getgid getgroups fopen open write fstatfs fstat ioctl \
	socket close sendmsg sendto recv recvmsg poll nlmsg_alloc_size abort
fuzz_helper_wraps := $(addprefix -Wl$(comma)--wrap=,$(fuzz_helper_calls))
$(eval $(call fuzzer,config,$(fuzz_helper_parts),$(helper_packages),$(fuzz_helper_wraps)))
$(eval $(call fuzzer,helper,$(fuzz_helper_parts),$(helper_packages),$(fuzz_helper_wraps)))

$(call fuzz_objects,tests/fuzz/fuzz_config.c tests/fuzz/fuzz_helper.c $(fuzz_helper_parts)): cppflags += $(call pkg_cflags,$(helper_packages))
$(call fuzz_objects,$(rules_sources) $(fuzz_dns_parts)): cppflags += $(call pkg_cflags,libidn2)

$(O)/tests/fuzz/obj/%.o: %.c tests/fuzz/fuzz.mk
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(CPPFLAGS) $(cppflags) $(fuzz_cflags) -MMD -MP -c -o $@ $<

-include $(patsubst %.c,$(O)/tests/fuzz/obj/%.d,$(sort $(fuzz_sources)))

fuzz_run = $(PYTHON) tests/fuzz/fuzzers.py --directory $(O)/tests/fuzz

.PHONY: fuzz fuzz-smoke fuzz-programs print-fuzzers

fuzz-programs: $(fuzzers)

print-fuzzers:
	@printf '%s\n' $(fuzzers)

# target fuzz: run every fuzzer for FUZZ_SECONDS=30, three at a time; T='PATTERN...' chooses some
fuzz: $(fuzzers)
	@$(fuzz_run) --seconds $(FUZZ_SECONDS) $(T)

# target fuzz-smoke: run every fuzzer over its seeds, once
fuzz-smoke: $(fuzzers)
	@$(fuzz_run) --seconds 0 $(T)
