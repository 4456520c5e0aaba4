$(eval $(call unit_test,jail,boundary-launcher boundary-rules boundary-seccomp boundary,$(launcher_packages)))
$(eval $(call unit_test,launch_helper,boundary-launcher boundary-rules boundary-seccomp boundary,$(launcher_packages)))
