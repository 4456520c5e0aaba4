$(eval $(call unit_test,helper_request,boundary-helper boundary-netlink boundary,$(helper_packages),-Wl$(comma)--wrap=poll$(comma)--wrap=setitimer))
$(call objects,tests/unit/test_helper_request.c): cppflags += $(call pkg_cflags,$(netlink_packages))
