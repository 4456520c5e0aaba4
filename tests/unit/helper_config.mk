$(eval $(call unit_test,helper_config,boundary-helper boundary,))
