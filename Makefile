# make demo   fresh clone to the F1-against-spreading-factor table and report
# make test   fresh clone to a green test suite
# make radio  the radio alone, without torch: environment, style, types, its tests; about three minutes
# make lint   style, types and import contracts alone
# make soak   faults on purpose for an hour: kills, full disks, clocks; the table in docs/explanation/reliability.md
# make bench  every benchmark of speed, about ten minutes on an idle machine; JSON into BENCH_DIR, and the page that draws it
# make docs   the documentation with its notebooks executed, built strictly into site/; CHIRPBRIDGE_NOTEBOOKS=false leaves
#             them unexecuted

# the first interpreter of a supported version
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	&& echo $$p && break; done)
VENV := .venv
RADIO_VENV := .venv-radio
BIN := $(VENV)/bin
# one well-tested torch, asked for by name first so that no resolver picks a larger build
TORCH := torch==2.13.0
DEFAULT_TESTS := not slow and not gpu and not network and not model
DEMO_DIR ?= runs/demo
BENCH_DIR ?= docs/results

.PHONY: demo test radio lint slow soak bench docs clean

demo: $(VENV)/.demo
	$(BIN)/python benchmarks/f1_vs_sf.py --out $(DEMO_DIR)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "$(DEFAULT_TESTS)"

radio: $(RADIO_VENV)/.done
	$(RADIO_VENV)/bin/ruff check lora_phy tests/lora_phy
	$(RADIO_VENV)/bin/ruff format --check lora_phy tests/lora_phy
	$(RADIO_VENV)/bin/lint-imports
	$(RADIO_VENV)/bin/mypy -p lora_phy
	$(RADIO_VENV)/bin/python -m pytest -q -n 2 --dist loadfile -m "$(DEFAULT_TESTS)" tests/lora_phy lora_phy

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

slow: $(VENV)/.test
	$(BIN)/python -m pytest -q -m "slow or model"

soak: $(VENV)/.test
	$(BIN)/python benchmarks/soak.py --write

bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pyfftw
	$(BIN)/python benchmarks/run_all.py --out $(BENCH_DIR)
	test "$(BENCH_DIR)" != docs/results || $(BIN)/python docs/gallery/make_speed.py

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "chirpbridge needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/one"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[llm]"
	touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[llm,dev]"
	touch $@

$(RADIO_VENV)/.done: pyproject.toml
	@test -n "$(PYTHON)" || { echo "chirpbridge needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/one"; exit 1; }
	$(PYTHON) -m venv $(RADIO_VENV)
	$(RADIO_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

# in the environment of the tests: the notebooks run both packages, torch included
$(VENV)/.docs: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@
