$(eval $(call unit_test,helper_rules,boundary-helper boundary-netlink boundary,$(helper_packages),-Wl$(comma)--wrap=recv$(comma)--wrap=sendto))
$(call objects,tests/unit/test_helper_rules.c): cppflags += $(call pkg_cflags,$(netlink_packages))
