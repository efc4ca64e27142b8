# Everything runs from a virtual environment of this checkout; PYTHON=… chooses the interpreter it is made with.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
JOBS ?= 2

.PHONY: install demo board test check bench clean

install: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# Fits every method and control on generated arithmetic, and measures them there and on ten kinds of reasoning.
demo: install
	$(BIN)/harness eval --method topk,batchtopk,relu_l1 --task gsm_symbolic,reasoning_prompts --derived-seeds 0 --output-path $(OUT)
	@echo "page: $(OUT)/index.html"

# Publishes a finished run: its records go into leaderboard/results, and the pages are built from all records there.
board: install
	$(BIN)/harness leaderboard leaderboard --add $(OUT)

test: install
	$(BIN)/python -m pytest -n $(JOBS) -m "not model and not browser"
	$(BIN)/python -m pytest -m "model or browser"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/harness validate

bench: install
	$(BIN)/python benchmarks/bench_start.py
	$(BIN)/python benchmarks/bench_read.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/bench_training.py
	$(BIN)/python benchmarks/bench_reasonscore.py
	$(BIN)/python benchmarks/bench_board.py

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
