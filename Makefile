# The same doors for people and CI. Nothing but python3 (3.11 or newer, with venv), make and git is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests wait more than they work: a few more workers than cores.
JOBS ?= 4
PACKAGES := contract agent cloud_hub modules simulators tests benchmarks

# Tests and demos start hundreds of Python processes: none of them is to compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: release deb demo recording test check bench bench-hub bench-registry bench-images bench-outbox bench-agent bench-agent-start bench-fleet bench-updates fix soak lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(STAMP) ## the main job, end to end, on real parts (ARGS="--driver process" for another driver)
	$(BIN)/python -m simulators.demo $(ARGS)

recording: $(STAMP) ## an update, a bad update, a week offline, as text (ARGS=--write for docs/transcript.md)
	$(BIN)/python -m simulators.recording $(ARGS)

test: $(STAMP) ## all tests, side by side (ARGS="-k name" for some, JOBS=0 for one after the other)
	$(BIN)/python -m pytest -m "not soak" -n $(JOBS) $(ARGS)

soak: $(STAMP) ## the long tests
	$(BIN)/python -m pytest -m soak $(ARGS)

check: $(STAMP) ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(STAMP) ## mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## the figures of benchmarks/README.md
	$(BIN)/python -m benchmarks.main_job

bench-hub: $(STAMP) ## the hub beside cp, MLflow and a bare FastAPI app (ARGS="--write" for the page)
	$(BIN)/python -m benchmarks.hub $(ARGS)

bench-registry: $(STAMP) ## push and pull beside docker-registry (ARGS="--write" for the page)
	$(BIN)/python -m benchmarks.registry $(ARGS)

bench-images: $(STAMP) ## builds of images beside buildah (ARGS="--write" for the page)
	$(BIN)/python -m benchmarks.image_builds $(ARGS)

bench-outbox: $(STAMP) ## telemetry on a device: bytes on the wire and written to flash (ARGS="--write" for the page)
	$(BIN)/python -m benchmarks.outbox $(ARGS)

bench-agent: $(STAMP) ## memory, processor time and start of the agent; 25 minutes (ARGS="--minutes 60 --write" for the page)
	$(BIN)/python -m benchmarks.agent $(ARGS)

bench-agent-start: $(STAMP) ## how soon a device scores, without a network and in 1970 too (ARGS="--write" for the page)
	$(BIN)/python -m benchmarks.agent_start $(ARGS)

bench-fleet: $(STAMP) ## 1,000 and 10,000 simulated devices at one hub (ARGS="--devices 1000")
	$(BIN)/python -m benchmarks.fleet $(ARGS)

bench-updates: $(STAMP) ## bytes on the wire of updates beside other ways; trains a model once (ARGS="--only Adam")
	$(BIN)/python -m benchmarks.updates $(ARGS)

deb: $(STAMP) ## the agent's Debian package for this machine, into build/ (DEB_PYTHON=/usr/bin/python3)
	@configs/deb/build.sh build

release: $(STAMP) ## a release of the agent for this machine and Python, into build/ (DEB_PYTHON=/usr/bin/python3)
	@configs/deb/release.sh build

lock: $(STAMP) ## choose versions anew within the ranges of pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --no-header --upgrade \
	  --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --no-header --upgrade \
	  --python-version 3.11 -c requirements.lock modules/serving/requirements.in -o modules/serving/requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --no-header --upgrade \
	  --python-version 3.11 benchmarks/peers.in -o benchmarks/peers.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --no-header --upgrade \
	  --python-version 3.11 benchmarks/updates_peers.in -o benchmarks/updates_peers.txt

clean: ## forget the virtual environment and caches
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP): requirements.lock pyproject.toml
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "error: python3 has no venv; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps \
	  --no-build-isolation -e .
	@touch $@
