$(eval $(call unit_test,helper_pool,boundary-helper boundary-netlink boundary,$(helper_packages)))
$(call objects,tests/unit/test_helper_pool.c): cppflags += $(call pkg_cflags,$(netlink_packages))
