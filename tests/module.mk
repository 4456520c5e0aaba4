# Unit suites, attack programs, lint, and the runner of everything (tests/run).

# $(call unit_test,NAME,LIBRARIES OF OURS,PKG-CONFIG NAMES,OTHER LINKER FLAGS): tests/unit/test_NAME.c
define unit_test
unit_tests += $(O)/tests/unit/test_$(1)
$(call program,tests/unit/test_$(1),tests/unit/test_$(1).c,$(2),check $(3),$(4))
endef

# $(call attack_program,NAME,LIBRARIES OF OURS,PKG-CONFIG NAMES,OTHER LINKER FLAGS): tests/attack/NAME.c; jail_* runs as a
# jail's command, helper_* beside a jail of another user
define attack_program
attack_programs += $(O)/tests/attack/$(1)
$(call program,tests/attack/$(1),tests/attack/$(1).c,$(2),$(3),$(4))
endef

include $(wildcard tests/unit/*.mk)
include $(wildcard tests/attack/*.mk)
include $(wildcard tests/fuzz/*.mk)
include $(wildcard tests/bench/*.mk)
include tests/coverage.mk

PYTHON ?= /usr/bin/python3

.PHONY: test-programs print-unit-tests print-attack-programs check-attack check-oci

# target check-unit: build and run the unit suites
check-unit: $(unit_tests)
	@status=0; for t in $(unit_tests); do $$t || status=1; done; exit $$status

attack_programs += $(jail_attacks) $(helper_attacks)

test-programs: $(unit_tests) $(attack_programs)

print-unit-tests:
	@printf '%s\n' $(unit_tests)

print-attack-programs:
	@printf '%s\n' $(attack_programs)

# target check: install what the tests need, then everything: both builds, unit, lint, attack, e2e, oci (as root)
check:
	@packaging/install-deps --tests
	@$(PYTHON) tests/run

# target check-e2e: the end-to-end tests of the normal build (as root); T='PATTERN...' chooses some
check-e2e:
	@$(PYTHON) tests/run --build release --phase e2e $(T)

# target check-attack: the attack programs against the normal build (as root)
check-attack:
	@$(PYTHON) tests/run --build release --phase attack $(T)

# target check-oci: boundary inside runc containers (as root)
check-oci:
	@$(PYTHON) tests/run --build release --phase oci $(T)

# target demo: a local origin, an allowed and a denied request, as a throw-away user (as root)
demo:
	@packaging/install-deps --demo
	@$(PYTHON) tests/demo

# target bench: start-up, requests, throughput beside bwrap and nginx; a thousand sessions (as root); T='PART...' chooses
bench:
	@packaging/install-deps --tests
	@$(PYTHON) tests/bench/run $(T)

# Lint: each part is a target of its own, so that tests/run counts it as one test.
lint_c := $(sort $(shell find shared helper launcher policy tests -name '*.c'))
lint_h := $(sort $(shell find shared helper launcher policy tests -name '*.h'))
lint_scripts := packaging/install-deps .ci/run $(shell find packaging tests -name '*.sh')
lint_packages := $(sort $(helper_packages) $(launcher_packages) $(proxy_packages) check)
lint_parts := gcc clang analyzer tidy cppcheck headers arrows size scripts python man format
lint_werror = +@$(MAKE) --no-print-directory O=build/lint-$(1) CC=$(1) CFLAGS='-O2 -g -Werror' all test-programs

.PHONY: $(lint_parts:%=lint-%) lint-memcheck

# target lint: warnings as errors, static analysis, headers alone, include arrows, size budgets, scripts, man pages, format
lint: $(lint_parts:%=lint-%)

lint-gcc:
	$(call lint_werror,gcc)

lint-clang:
	$(call lint_werror,clang)

# Three analysers over what handles the capability: see tests/lint/README.md.
lint_analyzed := $(sort $(wildcard helper/*.c shared/*.c))
lint_flags = $(cppflags) $(call pkg_cflags,$(helper_packages)) -std=gnu17 $(warnings)

# Unoptimised it sees what is written, optimised what is inlined. Not with -flto: version 12 misses more of many files than of one.
lint-analyzer:
	@for file in $(lint_analyzed); do for level in -O0 -O2; do \
		gcc $(lint_flags) $$level -g -Werror -fanalyzer -c -o /dev/null $$file || exit 1; \
	done; done

# One file a run: with several, version 14 takes the va_list functions of the second for those of the first.
lint-tidy:
	@out=$$(printf '%s\n' $(lint_analyzed) | xargs -P "$$(nproc)" -I {} clang-tidy --quiet {} -- $(lint_flags) 2>&1) || { echo "$$out"; exit 1; }

# It does not know the attribute by which _cleanup_fd_ closes (shared/cleanup.h), so every such descriptor would be a leak to it; nor
# that these programs have one thread, in which getgrent() and the like are as good as their _r.
lint-cppcheck:
	@cppcheck --quiet --force --enable=warning,performance,portability --error-exitcode=1 --library=posix,gnu --std=c11 --inline-suppr \
		--suppress=resourceLeak --suppress=fgetgrentCalled $(cppflags) helper shared

lint-memcheck:
	@$(PYTHON) tests/valgrind suites

headers lint-headers:
	@for cc in gcc clang; do for h in $(lint_h); do \
		printf '#include "%s"\n' $$h | $$cc $(cppflags) $(call pkg_cflags,$(lint_packages)) -std=gnu17 $(warnings) -Werror \
			-fsyntax-only -x c - || { echo "$$h does not compile alone ($$cc)"; exit 1; }; \
	done; done

lint-arrows:
	@tests/lint/arrows

lint-size:
	@tests/lint/size

lint-scripts:
	@shellcheck $(lint_scripts) tests/lint/arrows tests/lint/size

lint-python:
	@for f in $(wildcard tests/run tests/demo tests/bench/run tests/coverage tests/valgrind) $$(find tests -name '*.py'); do \
		$(PYTHON) -c 'import ast, sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])' $$f || exit 1; done

lint-man:
	@for f in packaging/man/*.[0-9]; do out=$$(mandoc -Tlint -Wwarning $$f 2>&1) || { echo "$$out"; exit 1; }; done

lint-format:
	@clang-format --dry-run -Werror $(lint_c) $(lint_h)

# target fmt: format the C sources in place
fmt:
	@clang-format -i $(lint_c) $(lint_h)
