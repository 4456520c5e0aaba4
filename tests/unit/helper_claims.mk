$(eval $(call unit_test,helper_claims,boundary-helper boundary-netlink boundary,$(helper_packages),-Wl$(comma)--wrap=ioctl))
$(call objects,tests/unit/test_helper_claims.c): cppflags += $(call pkg_cflags,$(netlink_packages))
