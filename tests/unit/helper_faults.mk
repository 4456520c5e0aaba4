# What is put in place of libc's calls, some of them before a sanitizer is up; and what the attacks share.
$(eval $(call library,helper-faults,tests/unit/helper_faults.c \
	$(addprefix tests/attack/,helper_peer.c helper_link.c helper_tables.c)))
$(call objects,tests/unit/helper_faults.c): cppflags += $(call pkg_cflags,libcap)
$(call objects,tests/unit/helper_faults.c): cflags += -fno-sanitize=all
$(eval $(call unit_test,helper_faults,helper-faults boundary-helper boundary-netlink boundary,$(helper_packages)))
