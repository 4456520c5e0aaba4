# The library is everything but main, so that unit tests can link it.
helper_sources := helper/config.c helper/request.c helper/netns.c helper/cable.c helper/guard.c helper/privileges.c
$(eval $(call library,boundary-helper,$(helper_sources)))

helper_packages := libcap libseccomp $(netlink_packages)
$(call objects,$(helper_sources) helper/main.c): cppflags += $(call pkg_cflags,$(helper_packages))
programs += $(O)/libexec/boundary/boundary-helper
$(eval $(call program,libexec/boundary/boundary-helper,helper/main.c,boundary-helper boundary-netlink boundary,$(helper_packages)))
