$(eval $(call unit_test,rules,boundary-rules boundary,libidn2))
$(eval $(call unit_test,rules_cost,boundary-rules boundary,libidn2))
$(eval $(call unit_test,rules_explain,boundary-rules boundary,libidn2))
$(eval $(call unit_test,rules_random,boundary-rules boundary,libidn2))
$(eval $(call unit_test,rules_spelling,boundary-rules boundary,libidn2))
$(eval $(call unit_test,rules_memory,boundary-rules boundary,libidn2,\
	$(addprefix -Wl$(comma)--wrap=,malloc calloc realloc reallocarray strdup strndup)))
