$(eval $(call unit_test,seccomp,boundary-seccomp boundary,libseccomp))
$(eval $(call unit_test,seccomp_rules,boundary-seccomp boundary,libseccomp))
