# Everything runs from a virtual environment of this checkout; PYTHON=… chooses the interpreter it is made with.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
# One more than cores: tests wait for processes and a browser a good part of their time.
JOBS ?= 3

.PHONY: install demo board test check gate baseline bench bench-save bench-compare clean

install: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
# What pip would do on one core; some packages carry templates that are no Python yet.
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
	touch $@

# Fits every method and control on generated arithmetic, and measures them there and on ten kinds of reasoning.
demo: install
	$(BIN)/harness eval --method topk,batchtopk,relu_l1 --task gsm_symbolic,reasoning_prompts --derived-seeds 0 --output-path $(OUT)
	@echo "page: $(OUT)/index.html"

# Publishes a finished run: its records go into leaderboard/results, and the pages are built from all records there.
board: install
	$(BIN)/harness leaderboard leaderboard --add $(OUT)

test: install
	$(BIN)/python -m pytest -n $(JOBS) -m "not model"
# Of the other files nothing would run, and to import them takes longer than some of these tests.
	$(BIN)/python -m pytest -m model $$(grep -l 'mark[.]model' tests/test_*.py)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/harness validate

# Small cells that stand for the rest: $(1) is the run folder, made anew.
define measure
rm -rf $(1)
$(BIN)/harness eval --method topk,batchtopk --task gsm_symbolic --model tiny-random --limit 60 --seeds 0,1,2 \
    --derived-seeds 0 --set budget.train_tokens=6000 --set budget.latents=128 --set budget.l0=16 \
    --set "metrics=[fvu, l0, dead_frac, kl_splice, agree1]" --output-path $(1)
$(BIN)/harness eval --method topk,batchtopk --task world_small --seeds 0,1,2 \
    --derived-seeds 0 --set budget.train_tokens=16384 --set budget.passes=6 --set budget.val_tokens=2048 \
    --set budget.test_tokens=2048 --set "metrics=[mcc_over_g, firing_f1, fvu, l0, dead_frac]" --output-path $(1)
endef

# Measures the cells of the committed baseline again, and says whether anything got worse by more than noise.
gate: install
	$(call measure,runs/gate)
	$(BIN)/harness gate runs/gate --baseline leaderboard/baseline --tolerances leaderboard/baseline/tolerances.yaml

# Takes what the present code gives as the new baseline: where numbers are meant to move.
baseline: install
	$(call measure,runs/baseline)
	rm -rf leaderboard/baseline/results
	cp -R runs/baseline/results leaderboard/baseline/results

bench: install
	$(BIN)/python benchmarks/bench_start.py
	$(BIN)/python benchmarks/bench_read.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/bench_training.py
	$(BIN)/python benchmarks/bench_reasonscore.py
	$(BIN)/python benchmarks/bench_board.py
	$(BIN)/python benchmarks/bench_effects.py
	$(BIN)/python benchmarks/bench_importance.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/bench_steering.py

# Speed against an earlier state of this machine: bench-save there, bench-compare here. Fails where a least time rose by
# 30 %: means follow whatever else the machine does.
SPEED := $(BIN)/python -m pytest benchmarks/test_speed.py -p no:xdist -q --benchmark-storage=file://.benchmarks

bench-save: install
	$(SPEED) --benchmark-save=before

bench-compare: install
	@test -d .benchmarks || { echo "no saved run to compare with: make bench-save first"; exit 2; }
	$(SPEED) --benchmark-compare --benchmark-compare-fail=min:30%

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
