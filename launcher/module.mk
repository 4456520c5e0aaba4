# The library is everything but main, so that unit tests can link it.
launcher_sources := $(addprefix launcher/,child_env.c config.c confine.c helper_client.c jail.c jail_drop.c jail_mounts.c \
	jail_network.c link.c nameservers.c namespaces.c options.c orphans.c proxy_client.c service.c session.c session_dir.c settings.c \
	settings_log.c stdio.c supervise.c terminal.c usage.c)
$(eval $(call library,boundary-launcher,$(launcher_sources)))

launcher_packages := libcap libnl-3.0 libnl-route-3.0 libseccomp yaml-0.1 libidn2
$(call objects,$(launcher_sources) launcher/main.c): cppflags += $(call pkg_cflags,$(launcher_packages))
programs += $(O)/bin/boundary-launch
$(eval $(call program,bin/boundary-launch,launcher/main.c,\
	boundary-launcher boundary-rules boundary-seccomp boundary,$(launcher_packages)))
