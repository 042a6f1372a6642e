.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint format types tests tests-fast coverage test-fresh chaos mutants compat bench openapi docs site notebooks neo4j mcp-servers lock hooks dist release clean distclean

bin := .venv/bin
# Tests start hundreds of Pythons: each would compile the program and, in four workers, every test anew.
unexport PYTHONDONTWRITEBYTECODE

# Free words for a target's own command: make tests ARGS="-k plan"
ARGS ?=
# Tests of the fast tier: those without a mark for what takes time.
fast := not (postgres or sandbox or browser or kill or programs or fresh or chaos)

# make test REQUIRE=all: a test that would be skipped for a missing component fails instead.
ifdef REQUIRE
export OPENMANUS_GRAPH_REQUIRE := $(REQUIRE)
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## create or repair .venv from the lock (PYTHON=... picks the interpreter)
	@PYTHON='$(PYTHON)' scripts/setup.sh

demo: setup ## set up, then see the agent work: no key, no server (ARGS=--crash kills it half-way)
	@$(bin)/openmanus-graph demo $(ARGS)

test: setup check ## set up, then every check and test (REQUIRE=all: skips are failures)

check: lint ## lint, format, types and tests, without changing a file
	@$(MAKE) --no-print-directory -j2 types tests

lint: setup ## lint, and check the format
	$(bin)/ruff check
	$(bin)/ruff format --check

format: setup ## correct the format and what the linter can correct
	$(bin)/ruff check --fix
	$(bin)/ruff format

types: setup ## check the types
	$(bin)/pyright

tests: setup ## run the tests (ARGS="-k plan" chooses some)
	@scripts/browser.sh
	@scripts/neo4j.sh
	$(bin)/pytest -n auto --dist loadfile $(ARGS)

tests-fast: setup ## run the tests that need no server, sandbox, browser or installer (under a minute)
	$(bin)/pytest -n auto -m "$(fast)" --hypothesis-profile=fast $(ARGS)

coverage: setup ## run the tests with branch coverage, and fail below the limit (half as long again)
	@scripts/browser.sh
	@scripts/neo4j.sh
	$(bin)/pytest -n auto --dist loadfile --cov --cov-report=term $(ARGS)

test-fresh: setup ## clone and set up from nothing, as root and as an ordinary user (minutes)
	$(bin)/pytest -m fresh $(ARGS)

chaos: setup ## kill at every write and stores of memory in the middle, cut connections, move clocks (minutes)
	@scripts/neo4j.sh
	$(bin)/pytest -m chaos --timeout=3600 tests/chaos tests/encryption tests/memory tests/research $(ARGS)

mutants: setup ## change the code in small ways and list what no test notices (hours; ARGS="plans --sample 60")
	$(bin)/python scripts/mutants.py $(ARGS)

compat: setup ## run LangGraph's own tests on our saver and through durable graphs (minutes)
	@$(bin)/python -m tests.compat $(ARGS)

bench: setup ## measure (ARGS="--help" for what)
	@$(bin)/python -m benchmarks $(ARGS)

openapi: setup ## get four published OpenAPI documents (npm, 80 MB), and check that all of their operations can be used
	@$(bin)/python -m benchmarks.openapi_documents

docs: setup ## write the generated parts of README and docs
	$(bin)/python scripts/documents.py

site: setup ## make the documentation site in build/site; a broken link is an error
	$(bin)/python scripts/build_site.py

notebooks: setup ## run the notebooks and store what they print and draw (ARGS="02" for one)
	$(bin)/python scripts/notebooks.py $(ARGS)

neo4j: ## get the Neo4j server that tests of templates run on (Maven, some hundred megabytes)
	@scripts/neo4j.sh

mcp-servers: setup ## try public MCP servers and clients of PyPI and npm (Node; some minutes the first time)
	@scripts/mcp_servers.sh
	$(bin)/pytest -m public tests/mcp $(ARGS)

lock: ## resolve the dependencies into the lock files (UPGRADE=1 for the newest)
	@UPGRADE='$(UPGRADE)' scripts/lock.sh

hooks: setup ## check before each commit (needs pre-commit)
	@command -v pre-commit >/dev/null || { echo "make hooks needs pre-commit. Get it with: pipx install pre-commit" >&2; exit 1; }
	pre-commit install

dist: setup ## build the wheel and the source archive into dist/
	$(bin)/hatchling build --clean

release: setup ## build and try a release with each Python here, and stop before the upload (ARGS=--fast for one)
	$(bin)/python scripts/release.py $(ARGS)

clean: ## remove what tests and builds leave behind; keeps .venv and your work
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis
	find openmanus_graph tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv as well
	rm -rf .venv .make
