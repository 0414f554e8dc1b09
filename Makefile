# Everything runs in .venv, which each target makes for itself: a fresh clone needs only make and Python 3.11 or newer.
# A stamp file remembers which requirements are installed; it is renewed when a requirements file changes.

VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.installed-base
DEV := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs

# What ESLint needs to check the browser's side: Node 20.19, 22.13, or 24 and newer, with npm. Where there is none, these
# checks are left out and say so; with GLIMPSE_REQUIRE_NODE set they fail.
NODE := $(shell node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
  process.exit(Number(!(a >= 24 || (a === 22 && b >= 13) || (a === 20 && b >= 19))))' 2>/dev/null && command -v npm)
MODULES := $(if $(NODE),node_modules/.installed,no-node)

MODEL ?= demo
HOST ?=
PORT ?=
SEED ?= 7
OUT ?= runs/world
ARGS ?=
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-web test-browser lint lint-web no-node docs bundle wheel world evaluate table report examples space screenshots clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@for name in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14; do \
	  if "$$name" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "creating $(VENV) with $$name"; exec "$$name" -m venv $(VENV); \
	  fi; \
	done; echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1

$(BASE): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(DOCS): requirements-docs.txt $(BASE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements-docs.txt
	@touch $@

$(DEV): requirements-dev.txt $(DOCS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

node_modules/.installed: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

no-node:
	@echo "The checks of the browser's side are left out: they need Node 20.19, 22.13, or 24 and newer, and npm" \
	  "(Debian: apt install nodejs npm)." >&2; [ -z "$$GLIMPSE_REQUIRE_NODE" ]

setup: $(DEV)  ## install everything that the demo and the tests need

demo: $(BASE)  ## open the page on the built-in demo model (MODEL=, HOST=, PORT=, ARGS=)
	$(BIN)/python -m glimpse_core demo --model $(MODEL) $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(ARGS)

# The browser tests run by themselves: each process of theirs has a browser and a server beside it. Where ARGS chooses
# tests, one of the two parts may have none of them, which pytest reports with code 5.
NONE_CHOSEN = $(if $(ARGS),|| [ $$? -eq 5 ])
test: lint  ## lint, then the whole suite, browser tests included (JOBS=2, ARGS="-k WORD")
	@failed=0; for part in test-fast test-web test-browser; do $(MAKE) --no-print-directory $$part || failed=1; done; exit $$failed

test-fast: $(DEV)  ## the suite without the browser, in JOBS processes (0: in pytest's own)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(if $(ARGS),-m "not browser" $(ARGS),--ignore=tests/browser) $(NONE_CHOSEN)

test-web: $(MODULES)  ## the pure parts of the browser's side, under Node (left out where there is none)
	$(if $(NODE),node --test tests/web/*.test.js)

test-browser: $(DEV)  ## the tests that drive a browser, in JOBS processes
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(if $(ARGS),-m browser $(ARGS),tests/browser) $(NONE_CHOSEN)

lint: $(DEV)  ## rules, format, the order of the packages, and types; then lint-web
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	@$(MAKE) --no-print-directory lint-web

lint-web: $(MODULES)  ## rules and types of the browser's side (left out where there is no Node)
	$(if $(NODE),node_modules/.bin/eslint --max-warnings 0 glimpse_core/ui/web tests/web docs/transitions.js eslint.config.js)
	$(if $(NODE),node_modules/.bin/tsc)

docs: $(DOCS)  ## fill in the tables, draw the diagram, build the documentation into dist/docs
	$(BIN)/python -m docs.tables
	$(BIN)/python -m docs.diagram
	$(if $(NODE),node docs/transitions.js)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bundle: $(MODULES)  ## join the page's modules into the one file that it loads (needs Node)
	$(if $(NODE),$(BIN)/python -m glimpse_core.ui.bundle)

wheel: $(DEV)  ## build the wheel and the source archive into dist
	$(BIN)/hatchling build -d dist

world: $(BASE)  ## draw one scene of the demo world (SEED=, OUT=)
	$(BIN)/python -m glimpse_core world --seed $(SEED) --out $(OUT)

evaluate: $(BASE)  ## score the demo model on held-out scenes (ARGS="--count 2000 --json FILE")
	$(BIN)/python -m glimpse_core evaluate --model $(MODEL) $(ARGS)

# All methods on the demo world, by group of question types. Two processes take about a second per question; a run that
# was stopped goes on when it is started again, and `make report` also reads an unfinished one.
TABLE ?= runs/table
COUNT ?= 1500
WORKERS ?= 2
DRAWS := random:draw2,random:draw3,random_at_k:draw2,random_at_k:draw3
CASCADES := divprune:50%+glimpse,mmtok:50%+glimpse
table: $(BASE)  ## compare all methods on held-out scenes, then write assets/table (COUNT=, WORKERS=, TABLE=)
	$(BIN)/python -m glimpse_core evaluate --model demo --task world --by-group --seed 10000000 --count $(COUNT) \
	  --methods all,$(DRAWS),$(CASCADES) --budgets 11.1%,22.2%,33.3%,dynamic --max-new-tokens 100 \
	  --timing 10 --workers $(WORKERS) --out $(TABLE) --resume
	$(MAKE) report

report: $(BASE)  ## tables, curves and worst cases of $(TABLE) into assets/table
	rm -f assets/table/worst_*.png
	$(BIN)/python -m glimpse_core report $(TABLE) --worst 4 --out assets/table

examples: $(BASE)  ## draw the example scenes again and record what the demo model says about them
	$(BIN)/python -m glimpse_core.ui.make_examples

space: $(BASE)  ## write the Hugging Face Space into dist/space (ARGS="--out DIR")
	$(BIN)/python -m glimpse_core space $(ARGS)

screenshots: $(DEV)  ## take the screenshots of the page again, into assets/screenshots
	$(BIN)/python -m tests.browser.screenshots $(ARGS)

clean:  ## remove the environment and all caches
	rm -rf $(VENV) node_modules .ruff_cache .mypy_cache .pytest_cache .gradio
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
