# The programs that attack the jail from inside, run as its command.
jail_attacks := $(O)/tests/attack/jail_state $(O)/tests/attack/jail_syscalls $(O)/tests/attack/jail_network

$(eval $(call program,tests/attack/jail_state,tests/attack/jail_state.c tests/attack/jail_processes.c tests/attack/tap.c))
$(eval $(call program,tests/attack/jail_syscalls,tests/attack/jail_syscalls.c tests/attack/jail_sockets.c tests/attack/jail_i386.c tests/attack/tap.c))
$(eval $(call program,tests/attack/jail_network,tests/attack/jail_network.c tests/attack/jail_reach.c tests/attack/jail_dns.c tests/attack/tap.c))
