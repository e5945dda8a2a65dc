# Everything here works from a path with a space in it, as root and as an ordinary user, and
# again and again: paths are relative, and the second time stamp files make it quick.

SHELL := /bin/bash
.NOTPARALLEL:
.PHONY: help demo test setup atlas docs system-packages lint types format samples claims claims-here clean
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
BEHAVIOURS := connect-established connect-refused listen-backlog-overflow fork-concurrent-server
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 2 ? 2 : n)))

# In a tree that belongs to another user, what pytest and Hypothesis remember goes elsewhere.
ifeq ($(shell [ -w . ] && echo writable),)
TEST_IN := PYTEST_ADDOPTS="-p no:cacheprovider" HYPOTHESIS_STORAGE_DIRECTORY=$$(mktemp -d)
endif

help:
	@echo "make demo    observe four behaviours and print their reports"
	@echo "make test    run every test"
	@echo "make lint    ruff: rules and format        make types   mypy, strict"
	@echo "make format  let ruff format               make samples captures/catalogue/ anew"
	@echo "make atlas   docs/atlas anew           make docs    the documents as a site"
	@echo "make claims  docs/claims.md from them        make claims-here  compare with this kernel"
	@echo "make clean   remove what make made"

demo: $(VENV)/package $(VENV)/compiled
	@where=captures; mkdir -p captures 2>/dev/null && [ -w captures ] || where=$$(mktemp -d); \
	$(RUN) -m observatory run $(BEHAVIOURS) -o "$$where" && \
	printf '%s\n' "" \
		"The run files are in $$where/. Open one in Wireshark, or read it again with" \
		"  $(VENV)/bin/observatory analyze $$where/connect-refused.pcapng" \
		"$(VENV)/bin/observatory list has the other behaviours."

test: setup
	@$(TEST_IN) $(RUN) -m pytest -q -n $(WORKERS) $(TESTS)

setup: system-packages $(VENV)/development $(VENV)/compiled tests/reports/mermaid/node_modules

lint: $(VENV)/development
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: $(VENV)/development
	@$(RUN) -m mypy

format: $(VENV)/development
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

# One run file of every behaviour, as committed: tests show that today's analyzer explains them.
# A program's path is in fork-exec's, so they are made with a copy and a Python of neutral places.
SAMPLES ?= --all
samples: $(VENV)/package
	@copy=$$(mktemp -d /tmp/samples-XXXXXX) && trap 'rm -rf "$$copy"' EXIT && cp -r observatory "$$copy" && cd "$$copy" && \
	PYTHONPATH="$$("$(CURDIR)/$(RUN)" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		/usr/bin/python3 -m observatory run $(SAMPLES) --quiet -o new && \
	mv new/*.pcapng "$(CURDIR)/captures/catalogue/"
	@$(MAKE) claims

# docs/claims.md: the book's statements on the kernel that captures/catalogue/ was made on.
claims: $(VENV)/package
	@$(RUN) -m observatory claims --slow --from captures/catalogue --format markdown > docs/claims.new \
	&& mv docs/claims.new docs/claims.md

# The statements on this machine's kernel, run anew; which verdicts are not those of docs/claims.md.
VERDICTS := sed -n -e 's/^. The book.s claims on //p' \
	-e 's/^| \[\([0-9]*\)\].*| \*\*\(.*\)\*\* |.*/\1 \2/p'
claims-here: $(VENV)/package
	@runs=$$(mktemp -d) && trap 'rm -rf "$$runs"' EXIT && \
	$(RUN) -m observatory claims -o "$$runs" --format markdown > "$$runs/claims.md" && \
	if diff -U0 --label docs/claims.md --label "this kernel" \
		<($(VERDICTS) docs/claims.md) <($(VERDICTS) "$$runs/claims.md"); \
	then echo "claims: every verdict is that of docs/claims.md"; fi

# A page of every behaviour, from captures/catalogue/; and the documents as a site in build/site.
atlas: $(VENV)/package
	@$(RUN) -m observatory atlas -o docs/atlas --from captures/catalogue --slow

docs: $(VENV)/development
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build -q -f docs/site/mkdocs.yml && \
		echo "the site is in build/site/: open build/site/index.html"

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist ./*.egg-info

# What tests and `check` use of the system, as command:package. Without them the tests that need
# them are skipped and say so.
PROGRAMS := tshark:tshark dumpcap:wireshark-common tcpdump:tcpdump strace:strace nft:nftables \
	ip:iproute2 setpriv:util-linux curl:curl nginx:nginx-light redis-server:redis-server \
	redis-benchmark:redis-tools socat:socat nc:netcat-openbsd node:nodejs \
	chromium:chromium chromedriver:chromium-driver npm:npm

system-packages:
	@missing=; for pair in $(PROGRAMS); do \
		PATH="$$PATH:/usr/sbin:/sbin" command -v "$${pair%%:*}" >/dev/null \
		|| missing="$$missing $${pair##*:}"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
		apt-get -qq update; apt-get -qq install -y --no-install-recommends $$missing >/dev/null \
		|| echo "could not install$$missing: tests that need them are skipped"; \
	else \
		echo "not installed:$$missing: tests that need them are skipped" \
			"(sudo apt-get install$$missing)"; \
	fi

# A virtual environment remembers where and of which Python it was made: one that was copied
# elsewhere, or whose Python this user cannot run, is made anew.
ifneq ($(shell $(RUN) -c '' 2>/dev/null && cat $(VENV)/made-in 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/made-in
endif

$(VENV)/made-in:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3"; exit 1; fi
	@echo "setting up $(VENV)"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; } || { \
		echo "$(PYTHON) cannot make a virtual environment: sudo apt-get install python3-venv"; \
		exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
		echo "$(VENV) cannot be made here: copy the tree to where you may write"; exit 1; }
	@rm -f $(VENV)/package $(VENV)/development $(VENV)/compiled
	@printf '%s' "$(CURDIR)" > $@

$(VENV)/package: $(VENV)/made-in pyproject.toml
	@[ -e $(VENV)/development ] || $(RUN) -m pip install -q --disable-pip-version-check -e .
	@touch $@

# So that the command is quick from the first time on, also where PYTHONDONTWRITEBYTECODE is set.
$(VENV)/compiled: $(VENV)/made-in $(shell find observatory -name '*.py')
	@$(RUN) -m compileall -q observatory
	@touch $@

# Mermaid's own parser, for one test, which is skipped where it cannot be installed.
tests/reports/mermaid/node_modules: tests/reports/mermaid/package.json
	@command -v npm >/dev/null && npm --prefix $(@D) install --silent --no-audit --no-fund \
		&& touch $@ || echo "no Mermaid: the test that needs it is skipped"

$(VENV)/development: $(VENV)/made-in pyproject.toml
	@$(RUN) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $(VENV)/package $@
