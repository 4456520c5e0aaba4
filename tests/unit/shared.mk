$(eval $(call unit_test,shared,boundary,,))
$(eval $(call unit_test,log,boundary,,))
