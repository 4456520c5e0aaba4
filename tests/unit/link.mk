$(eval $(call unit_test,link,helper-jails boundary-launcher boundary-helper boundary-netlink boundary,$(helper_packages)))
$(call objects,tests/unit/test_link.c): cppflags += $(call pkg_cflags,$(netlink_packages))
