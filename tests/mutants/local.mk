# tests/mutants: shows that tests fail when larder is wrong.  Takes some minutes, and is no part of check.
EXTRA_DIST += tests/mutants/README.md tests/mutants/faults.toml
dist_check_SCRIPTS += tests/mutants/mutants.py

.PHONY: mutants
mutants:
	$(srcdir)/tests/mutants/mutants.py
