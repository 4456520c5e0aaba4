$(eval $(call unit_test,host,boundary-rules boundary,libidn2))
