# Each target's plain `python` commands stand in the README, for Windows and Anaconda.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo api web test lint types tests pretrained model-card lock clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/installed  ## voices -> set -> training -> a located splice, about ten minutes
	$(BIN)/python -m apps.demo

api: $(VENV)/installed  ## the service, at http://127.0.0.1:8000; settings: HYBRID_AUDIO_API_...
	$(BIN)/python -m apps.api

web: $(VENV)/installed  ## the page, at http://127.0.0.1:8501
	$(BIN)/python -m apps.web

test: lint types tests  ## everything that CI checks

lint: $(VENV)/installed  ## ruff, its style too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed  ## mypy
	$(BIN)/mypy

tests: $(VENV)/installed  ## pytest, the files dealt to two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile

pretrained: $(VENV)/installed  ## make the shipped weights again from CORPUS=DIR: hours, resumable
	@test -n "$(CORPUS)" || { echo "pretrained: expected the folder of the corpus: make pretrained CORPUS=DIR" >&2; exit 2; }
	$(BIN)/python -m apps.pretraining --corpus "$(CORPUS)"

model-card: $(VENV)/installed  ## judge the test rows of CORPUS=DIR and write the model card of the shipped weights
	@test -n "$(CORPUS)" || { echo "model-card: expected the folder of the corpus: make model-card CORPUS=DIR" >&2; exit 2; }
	$(BIN)/python -m apps.pretraining.card --corpus "$(CORPUS)"

# The stamp is written last, so that an interrupted installation is done again.
$(VENV)/installed: requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, received {v.major}.{v.minor}: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	touch $@

lock:  ## pin the newest versions that pyproject.toml allows (uv comes with the dev extra)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		--all-extras pyproject.toml -o requirements.lock --upgrade

clean:  ## remove the venv and what the tools leave behind, not data/, runs/ or outputs/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
