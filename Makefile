# Every command is `python -m hplan <command> --help` underneath; this file adds the set-up.
# A variable that is not set passes no flag: the config decides.
# VENV=0 uses the interpreter at hand (PYTHON=...), which must have the packages or may install them.

CONFIG ?=
TASK ?=
RUN ?=
SEED ?=
DEVICES ?=
NODES ?=
RESUME ?=
LEVELS ?=
ENERGY ?=
BUDGET_MS ?=
EPISODE ?=
EFFORTS ?=
BESIDE ?=
METHOD ?=
DATA ?=
RENDER ?=
POLICY ?=
VENV ?= .venv
PYTHON ?= python3

ifeq ($(VENV),0)
SETUP := check-interpreter
RUN_PYTHON := $(PYTHON)
else
SETUP := $(VENV)/.ready
RUN_PYTHON := $(VENV)/bin/python
endif

# Two test processes of one thread each: more threads than cores only wait for each other. Bytecode
# is written whatever the environment says: they and the processes that they start read it again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN_PYTHON) -m pytest -q -n 2 --dist worksteal
HPLAN := $(RUN_PYTHON) -m hplan
# The config comes first: what is given beside it wins.
FLAGS = $(if $(CONFIG),--config $(CONFIG)) $(if $(TASK),--task $(TASK)) \
	$(if $(LEVELS),--levels $(LEVELS)) $(if $(SEED),--seed $(SEED)) \
	$(if $(DEVICES),--devices $(DEVICES)) $(if $(NODES),--nodes $(NODES)) \
	$(if $(DATA),--data.minari $(DATA)) $(if $(POLICY),--data.policy $(POLICY))
RUN_FLAG = $(if $(RUN),--run $(RUN))
RESUME_FLAG = $(if $(filter-out 0,$(RESUME)),--resume)
FILM_FLAGS = $(if $(EPISODE),--episode $(EPISODE)) $(if $(METHOD),--method $(METHOD))
CURVE_FLAGS = $(if $(EFFORTS),--efforts $(EFFORTS)) $(if $(BESIDE),--beside $(BESIDE))
PLAN_FLAGS = $(if $(ENERGY),--energy $(ENERGY)) $(if $(BUDGET_MS),--budget_ms $(BUDGET_MS))

.DEFAULT_GOAL := help
.PHONY: help setup check-interpreter collect play train eval curve watch bench profile doctor tensorboard test test-all lint

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  variables: CONFIG TASK RUN LEVELS SEED DEVICES NODES RESUME=1 ENERGY BUDGET_MS DATA POLICY RENDER METHOD EPISODE EFFORTS BESIDE VENV=0"

setup: $(SETUP) ## only the environment (.venv); every other target does it first if needed

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hplan: $(PYTHON) is older than Python 3.11; give PYTHON=python3.11 or newer" >&2; exit 2; }
	@test -x $(RUN_PYTHON) || $(PYTHON) -m venv $(VENV) || \
		{ echo "hplan: $(PYTHON) -m venv failed; install your system's python3-venv, or use VENV=0" >&2; exit 2; }
	$(RUN_PYTHON) -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	@touch $@

check-interpreter:
	@$(PYTHON) -c 'import importlib.metadata as m, importlib.util as u, sys; sys.exit(not (m.entry_points(group="tensorboard_plugins", name="subgoals") and all(map(u.find_spec, "torch pytorch_lightning jsonargparse safetensors minigrid networkx tensorboard minari matplotlib imageio_ffmpeg pytest beartype selenium".split()))))' || \
		$(PYTHON) -m pip install --disable-pip-version-check -q -e '.[dev]'

collect: $(SETUP) ## collect reward-free episodes: make collect TASK=rooms, or TASK=gym:ID POLICY=module.Class
	$(HPLAN) collect $(FLAGS)

play: $(SETUP) ## play from the keyboard: make play TASK=trip-paris [RENDER=human]
	$(HPLAN) play $(FLAGS) $(if $(RENDER),--render $(RENDER))

train: $(SETUP) ## train a stack of any depth, evaluate it briefly: make train LEVELS=3
	$(HPLAN) train $(FLAGS) $(RUN_FLAG) $(RESUME_FLAG) $(PLAN_FLAGS)

eval: $(SETUP) ## the whole suite of a run's task: make eval RUN=rooms-L3-s0
	$(HPLAN) eval $(FLAGS) $(RUN_FLAG) $(PLAN_FLAGS)

curve: $(SETUP) ## success against work, by effort and energy: make curve RUN=... [EFFORTS=0.5,1,2] [BESIDE=RUN,RUN]
	$(HPLAN) curve $(FLAGS) $(RUN_FLAG) $(CURVE_FLAGS)

watch: $(SETUP) ## an episode as GIF and MP4: make watch RUN=rooms-L3-s0 [METHOD=flat] [EPISODE=21]
	$(HPLAN) watch $(RUN_FLAG) $(FILM_FLAGS)

bench: $(SETUP) ## measure speeds: a table, and runs/bench.json
	$(HPLAN) bench

profile: $(SETUP) ## where the time of planning goes: make profile [RUN=rooms-L3-s0]
	$(HPLAN) profile $(FLAGS) $(RUN_FLAG)

doctor: $(SETUP) ## what this machine has, and whether the tasks build
	$(HPLAN) doctor

tensorboard: $(SETUP) ## TensorBoard on runs/, with the Subgoals tab
	$(RUN_PYTHON) -m tensorboard.main --logdir runs

test: $(SETUP) ## the fast suite
	$(PYTEST) -m "not slow"

test-all: $(SETUP) ## the fast suite and the slow tests, shapes checked at every call
	$(PYTEST) --every-call

lint: $(SETUP) ## ruff: rules and format
	$(RUN_PYTHON) -m ruff check .
	$(RUN_PYTHON) -m ruff format --check .
