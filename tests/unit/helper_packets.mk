$(eval $(call library,helper-jails,$(addprefix tests/attack/,helper_peer.c helper_link.c helper_inside.c helper_frames.c \
	helper_connections.c)))
$(eval $(call unit_test,helper_packets,helper-jails boundary-launcher boundary-helper boundary-netlink boundary,$(helper_packages)))
$(call objects,tests/unit/test_helper_packets.c): cppflags += $(call pkg_cflags,$(netlink_packages))
