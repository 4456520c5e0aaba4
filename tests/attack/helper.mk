# The programs that attack the helper as another user of the machine.
helper_attack_names := messages descriptors sockets exec limits signals races silence quota packets config cycles setuid

helper_attack_common := $(addprefix tests/attack/,helper_peer.c helper_jail.c helper_link.c helper_tables.c helper_conf.c \
	helper_stage.c helper_scene.c helper_session.c tap.c)
helper_attack_parts_packets := $(addprefix tests/attack/,helper_frames.c helper_inside.c helper_connections.c) launcher/link.c
helper_attacks := $(helper_attack_names:%=$(O)/tests/attack/helper_%)
$(foreach name,$(helper_attack_names), \
	$(eval $(call program,tests/attack/helper_$(name),tests/attack/helper_$(name).c $(helper_attack_common) \
		$(helper_attack_parts_$(name)),boundary)))
