$(eval $(call unit_test,helper_kernel,boundary-helper boundary,$(helper_packages)))
