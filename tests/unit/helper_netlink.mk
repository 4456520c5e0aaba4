$(eval $(call unit_test,helper_netlink,boundary-helper boundary,$(helper_packages)))
