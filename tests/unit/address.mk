$(eval $(call unit_test,address,boundary-rules boundary,libidn2))
