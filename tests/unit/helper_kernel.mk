$(eval $(call unit_test,helper_kernel,boundary-helper boundary-netlink boundary,$(helper_packages)))
$(call objects,tests/unit/test_helper_kernel.c): cppflags += $(call pkg_cflags,$(netlink_packages))
