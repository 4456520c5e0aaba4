settings_test_sources := launcher/settings.c launcher/settings_log.c launcher/options.c launcher/config.c \
	launcher/usage.c launcher/child_env.c launcher/session_dir.c launcher/nameservers.c
settings_test_libraries := boundary-rules boundary

# The modules' own objects rather than the whole launcher: these suites need neither netlink nor libseccomp.
settings_test = $(eval unit_tests += $(O)/tests/unit/test_$(1))$(eval $(call program,tests/unit/test_$(1),\
	tests/unit/test_$(1).c $(settings_test_sources),$(settings_test_libraries),check yaml-0.1 libidn2,$(2)))

$(call settings_test,settings)
$(call settings_test,config)
$(call settings_test,child_env)
$(call settings_test,session_dir,-Wl$(comma)--wrap=time$(comma)--wrap=flock)
$(call settings_test,nameservers)
