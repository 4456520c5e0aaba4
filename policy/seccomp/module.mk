seccomp_sources := policy/seccomp/program.c policy/seccomp/allowlist.c policy/seccomp/command.c
$(eval $(call library,boundary-seccomp,$(seccomp_sources)))
