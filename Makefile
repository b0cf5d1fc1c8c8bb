# The study on one machine. Everything is installed into .venv; nothing else is touched.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
CORES ?= all
STUDY ?= config/config.yaml
EXTRAS := workflow,tracking,dashboard,test,dev
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help study dashboard mlflow test integration lint format schemas lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint requirements.lock -e '.[$(EXTRAS)]'
	touch $@

study: $(INSTALLED) ## train, evaluate and tabulate the study (STUDY=config/…, CORES=…)
	@test -f $(STUDY) || { echo "STUDY=$(STUDY): there is no such file" >&2; exit 2; }
	@python workflow/scripts/run.py --cores $(CORES) --configfile $(STUDY); \
	status=$$?; python -m comvae report; exit $$status

dashboard: $(INSTALLED) ## compare variants in the browser (loopback only)
	streamlit run dashboard/app.py

mlflow: $(INSTALLED) ## query single runs in the browser (loopback only)
	@test -f results/mlflow/mlflow.db || { echo "no runs yet: make study first" >&2; exit 2; }
	mlflow ui --host 127.0.0.1 --port 5000 \
	  --backend-store-uri "sqlite:///$(CURDIR)/results/mlflow/mlflow.db"

test: $(INSTALLED) ## the test suite
	pytest --ignore=tests/integration

integration: $(INSTALLED) ## the whole study, killed and resumed, and the real datasets
	pytest tests/integration

lint: $(INSTALLED) ## every check of style
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	codespell

format: $(INSTALLED) ## put every file into the house style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

schemas: $(INSTALLED) ## generate the JSON schemas and docs/settings.md
	python -m comvae schemas

lock: $(INSTALLED) ## pin what is installed now
	python -m pip freeze --exclude-editable > requirements.lock

clean: ## remove results, logs and caches; the installation stays
	find results -mindepth 1 -maxdepth 1 ! -name README.md ! -name published -exec rm -r {} +
	rm -rf .snakemake logs .pytest_cache .ruff_cache .hypothesis
