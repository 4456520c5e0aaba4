$(eval $(call unit_test,helper_privileges,boundary-helper boundary-netlink boundary,$(helper_packages)))
$(call objects,tests/unit/test_helper_privileges.c): cppflags += $(call pkg_cflags,$(netlink_packages))
