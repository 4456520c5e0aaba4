$(eval $(call unit_test,shared,boundary,,))
