$(eval $(call unit_test,jail,boundary-launcher boundary-rules boundary-seccomp boundary,$(launcher_packages)))
