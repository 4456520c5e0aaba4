# The programs that attack the helper as another user of the machine.
helper_attacks := $(O)/tests/attack/helper_refuses $(O)/tests/attack/helper_setuid

helper_attack_common := tests/attack/helper_peer.c tests/attack/tap.c
$(eval $(call program,tests/attack/helper_refuses,tests/attack/helper_refuses.c $(helper_attack_common),boundary))
$(eval $(call program,tests/attack/helper_setuid,tests/attack/helper_setuid.c $(helper_attack_common),boundary))
