# The study on one machine. Everything is installed into .venv; nothing else is touched.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export PYTHONUTF8 := 1
CORES ?= all
HISTORIES ?= 200
STUDY ?= config/config.yaml
# else commands take the study that was planned last
NAMED = $(if $(filter file,$(origin STUDY)),,--study $(STUDY))
# jobs that train take turns on a GPU, where there is one
GPU := $(if $(shell nvidia-smi -L 2>/dev/null),--resources gpu=1)
EXTRAS := workflow,tracking,dashboard,data,crate,docs,peers,test,dev
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help study tables gap-selftest dashboard mlflow site report test integration histories slurm-test server-test browser-test chaos gpu-test lint format schemas docs release lock bench bench-study bench-large bench-effort gpu-campaign clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml requirements.lock $(wildcard comvae/engine/fused/*.[ch])
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint requirements.lock -e '.[$(EXTRAS)]'
	touch $@

study: $(INSTALLED) ## train, evaluate and tabulate the study (STUDY=config/…, CORES=…)
	@test -f $(STUDY) || { echo "STUDY=$(STUDY): there is no such file" >&2; exit 2; }
	@python workflow/scripts/run.py --cores $(CORES) $(GPU) --configfile $(STUDY); \
	status=$$?; python -m comvae report --study $(STUDY); exit $$status

gap-selftest: $(INSTALLED) ## check the gap estimators against known answers
	python -m comvae gap-selftest

dashboard: $(INSTALLED) ## compare variants in the browser (loopback only)
	python -m comvae dashboard

mlflow: $(INSTALLED) ## query single runs in the browser (loopback only)
	@test -f results/mlflow/mlflow.db || { echo "no runs yet: make study first" >&2; exit 2; }
	python -m mlflow ui --host 127.0.0.1 --port 5000 \
	  --backend-store-uri sqlite:///results/mlflow/mlflow.db

tables: $(INSTALLED) ## tables and report of what is finished, also while a study runs
	python -m comvae tables $(NAMED)
	python -m comvae report $(NAMED)

site: $(INSTALLED) ## the dashboard as static HTML (SITE=folder)
	python -m dashboard.render $(NAMED) $(if $(SITE),--output $(SITE))

report: $(INSTALLED) ## tables and figures in one file, report.html (STUDY=config/…)
	python workflow/scripts/run.py --cores 1 --configfile $(STUDY) -- site
	python workflow/scripts/run.py --configfile $(STUDY) --report report.html -- all site

test: $(INSTALLED) ## the test suite but for tests/slow, on two cores
	python -m pytest -n 2 --dist loadfile --ignore=tests/slow

integration: $(INSTALLED) ## the whole study, killed, resumed and mistreated; real datasets
	python -m pytest -n 2 --dist loadfile tests/slow/integration \
	  tests/slow/reports --ignore=tests/slow/reports/test_histories.py

histories: $(INSTALLED) ## random histories of a study, compared with fresh ones (HISTORIES=200)
	HISTORIES=$(HISTORIES) python -m pytest -n 2 tests/slow/reports/test_histories.py

gpu-test: $(INSTALLED) ## the fused kernels on this machine's GPU, with their timings
	python -m pytest -s tests/slow/gpu

slurm-test: $(INSTALLED) ## the study on a Slurm of its own, and with its jobs lost
	python -m pytest tests/slow/slurm

server-test: $(INSTALLED) ## MLflow's server on PostgreSQL, with many importers at once
	python -m pytest tests/slow/server

browser-test: $(INSTALLED) ## every page of the dashboard in Chromium, with axe-core
	python -m pytest tests/slow/browser

chaos: $(INSTALLED) ## kills, damage and full disks, compared with an undisturbed run
	python -m pytest tests/slow/chaos

lint: $(INSTALLED) ## every check of style
	python -m ruff check .
	python -m ruff format --check .
	python -m snakefmt --check Snakefile workflow
	python -m snakemake --lint
	python -m codespell_lib
	python -m mypy

format: $(INSTALLED) ## put every file into the house style
	python -m ruff check --fix .
	python -m ruff format .
	python -m snakefmt Snakefile workflow

schemas: $(INSTALLED) ## generate the JSON schemas, docs/settings.md and docs/reference.md
	python -m comvae schemas

docs: $(INSTALLED) ## the documentation as a site, build/docs/site/index.html; links are checked
	python .ci/docs.py

release: $(INSTALLED) ## what must hold before a version is released
	python .ci/release.py

lock: $(INSTALLED) ## pin what is installed now
	python -m pip freeze --exclude-editable > requirements.lock

bench: $(INSTALLED) ## time training beside JAX, pythae and plain PyTorch (BENCH=--quick)
	python -m pip install --quiet --no-deps --requirement benchmarks/requirements.txt
	python -m benchmarks $(BENCH)

bench-study: $(INSTALLED) ## time the digits study beside that of another revision (BASE=<revision>)
	@test -n "$(BASE)" || { echo "BASE=<revision>: which one to compare with?" >&2; exit 2; }
	python -m benchmarks.study $(BASE) $(BENCH)

bench-large: $(INSTALLED) ## time planning and aggregating 10,000 runs
	python -m benchmarks.large

bench-effort: $(INSTALLED) ## log p(x) of MNIST at 20 and 50 latents beside 20 times the effort (BENCH=--latents …)
	python -m benchmarks.effort $(BENCH)

gpu-campaign: $(INSTALLED) ## kernels, bench, MNIST and its gaps on a GPU, 9 minutes a call
	python -m benchmarks.campaign $(CAMPAIGN)

clean: ## remove results, logs and caches, through links too; the installation stays
	@for path in results/* .snakemake logs .pytest_cache .ruff_cache .mypy_cache .hypothesis; do \
	  case "$$path" in results/README.md | results/published) continue ;; esac; \
	  if [ -L "$$path" ] && [ -d "$$path" ]; then find -H "$$path" -mindepth 1 -delete; \
	  else rm -rf "$$path"; fi; \
	done
