# What is measured rather than checked: see tests/README.md.
.PHONY: coverage valgrind

# target coverage: lines of helper/ and shared/ that tests execute, at least 95 % of helper/ (as root); HTML in build/release-coverage
coverage:
	@packaging/install-deps --tests
	@$(PYTHON) tests/coverage $(O)-coverage

# target valgrind: unit suites of helper/ and shared/, and the attacks on the helper, under memcheck (as root); T='suites' or 'attacks'
valgrind:
	@packaging/install-deps --tests
	@$(PYTHON) tests/valgrind $(T)
