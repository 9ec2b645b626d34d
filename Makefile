# make demo    sets everything up and runs the demo until Ctrl-C
# make test    sets everything up and runs every check and every test
# make lint | types | layers | pytest    one of them;  ARGS='-k edge' goes to pytest
# make load    the load tests: about 15 minutes on a quiet machine;  ARGS='--quick' goes to them
# make clean   removes everything that was made here
#
# The first time takes some minutes: packages are fetched, and the data path is compiled.  TWISTPROXY_PURE=1 leaves the
# compiling out; then everything runs as Python, slower.
#
# PYTHON=python3.12 make test    with another interpreter (3.11 or newer); applies when .venv is made

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
ARGS ?=

.PHONY: demo test lint types layers pytest load clean

demo: $(INSTALLED)
	@$(BIN)/twistproxy demo $(ARGS)

# Everything runs even when something before it failed: one run tells all there is to mend.
test: $(INSTALLED) $(TOOLS)
	@failed=; \
	for part in lint types layers pytest; do \
	  echo "== $$part"; \
	  $(MAKE) --no-print-directory -s $$part || failed="$$failed $$part"; \
	done; \
	if [ -n "$$failed" ]; then echo "== FAILED:$$failed"; exit 1; fi; \
	echo "== lint, types, layers and pytest passed"

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports

# Some two hundred proxies are started, each of which would compile all its modules if none could keep what it has compiled.
# With no ARGS, modules with real programs that fail are run once more, alone: tests/second_chance.py says which and why.
pytest: $(INSTALLED) $(TOOLS)
	@unset PYTHONDONTWRITEBYTECODE; PATH="$(CURDIR)/$(BIN):$$PATH"; export PATH; again=$$(mktemp); \
	python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder --again="$$again" $(ARGS); status=$$?; \
	if [ -z "$(strip $(ARGS))" ] && [ -s "$$again" ]; then \
	  echo "== once more, alone: $$(xargs <"$$again")"; xargs python -m pytest <"$$again"; status=$$?; \
	fi; rm -f "$$again"; \
	if [ $$status -eq 5 ]; then echo "pytest found no tests to run" >&2; fi; exit $$status

load: $(INSTALLED) $(TOOLS)
	$(BIN)/python -m loadtests $(ARGS)

$(BIN)/python:
	@.ci/make-venv "$(PYTHON)" $(VENV)

# The modules that are compiled (setup.py lists them): a change to one of them builds them anew.
COMPILED := $(foreach module,$(shell sed -n '/^COMPILED = /,/^"""$$/{/"""/d;p}' setup.py),twistproxy/$(module).py)

$(INSTALLED): setup.py pyproject.toml $(wildcard twistproxy/codec/*.c) $(COMPILED) | $(BIN)/python
	@.ci/install-tools compiler $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,demo]'
	@touch $@

$(TOOLS): .ci/install-tools | $(BIN)/python
	@.ci/install-tools tests
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info loadtests/results
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .tox _trial_temp*
	find twistproxy -name '*.so' -delete
	find twistproxy twisted tests loadtests -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache twistproxy__mypyc.*.so
