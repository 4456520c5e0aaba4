$(eval $(call unit_test,helper_request,boundary-helper boundary,$(helper_packages)))
