# What `make bench` runs beside boundary-launch.
bench_programs := $(O)/tests/bench/helper_sessions
$(eval $(call program,tests/bench/helper_sessions,tests/bench/helper_sessions.c tests/attack/helper_peer.c,boundary))

.PHONY: bench-programs
bench-programs: $(bench_programs)
test-programs: bench-programs
