# Everything a new user needs; PYTHON may be any of 3.11, 3.12, 3.13.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUNS   ?= runs/quickstart
SEED   ?= 0

.PHONY: help install quickstart test test-slow test-trl test-vllm test-ray check bench seeds study clean

help:
	@echo "make quickstart   install, train the shipped model with Dr. GRPO and with GRPO, compare, report"
	@echo "make test         install what tests need and run them"
	@echo "make test-slow    the long tests"
	@echo "make test-trl     install TRL and set its losses beside ours"
	@echo "make test-vllm    install vLLM's build without a GPU in .venv-vllm and sample and train through it"
	@echo "make test-ray     install Ray in .venv-ray and train on a cluster of this machine whose parts die"
	@echo "make check        formatting, lint, types"
	@echo "make bench        speed and memory against other implementations (installs TRL)"
	@echo "make seeds        the quickstart's Dr. GRPO run in five seeds"
	@echo "make study        which of GRPO's two divisions moves length: 4 arms in five seeds"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of dependencies: reinstalled when pyproject.toml or constraints.txt changes.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@
$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@ $(VENV)/.installed
$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed

quickstart: $(VENV)/.installed
	$(BIN)/r1zero train quickstart --objective.name dr_grpo --seed $(SEED) --run.dir $(RUNS)/dr_grpo-seed$(SEED)
	$(BIN)/r1zero train quickstart --objective.name grpo --seed $(SEED) --run.dir $(RUNS)/grpo-seed$(SEED)
	$(BIN)/r1zero compare $(RUNS)/dr_grpo-seed$(SEED) $(RUNS)/grpo-seed$(SEED)
	$(BIN)/r1zero report $(RUNS)/dr_grpo-seed$(SEED) $(RUNS)/grpo-seed$(SEED) --out $(RUNS)/report-seed$(SEED).html

seeds: $(VENV)/.installed
	$(BIN)/r1zero train quickstart --objective.name dr_grpo --seeds 5 --run.dir $(RUNS)/five-seeds

study: $(VENV)/.installed
	$(BIN)/r1zero study length-bias

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 8 --dist loadfile

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

# vLLM wants other versions than the rest, so it lives in an environment of its own.
VLLM ?= .venv-vllm
$(VLLM)/.installed: constraints-vllm.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --no-deps --requirement constraints-vllm.txt --editable .
	@touch $@

test-vllm: $(VLLM)/.installed
	$(VLLM)/bin/python -m pytest tests/engines/with_vllm

RAY ?= .venv-ray
$(RAY)/.installed: pyproject.toml constraints.txt
	test -x $(RAY)/bin/python || $(PYTHON) -m venv $(RAY)
	$(RAY)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[test,ray]"
	@touch $@

test-ray: $(RAY)/.installed
	$(RAY)/bin/python -m pytest --doctest-modules r1zero/cluster tests/cluster

test-trl: $(VENV)/.installed-test $(VENV)/.installed-bench
	$(BIN)/python -m pytest tests/audit/test_trl_losses.py
	$(BIN)/r1zero audit --against trl

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(VLLM) $(RAY) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
