# Everything here sets up what it needs first; see README.md.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-clients setup-tests servers serve demo test quick house unit reference models acceptance format lock clean bench-engine bench-adapters bench-gateway bench-embeddings bench-guarantee bench-scaling bench-limits bench-gate bench-external bench-vllm

ARGS ?=
# Random schedules for each property of the gate; pytest by itself tries fewer.
SCHEDULES ?= 1000
# Random JSON schemas that answers are held to; pytest by itself tries fewer.
SCHEMAS ?= 500
PYTEST = .venv/bin/python -m pytest -q
CLIENT_PYTEST = .clients/bin/python -m pytest -q -p no:cacheprovider -W default -c tests/acceptance/pytest.ini

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup:  ## A virtual environment with the locked dependencies; leaves .venv/bin/penstock
	@sh scripts/venv.sh .venv requirements/server.txt --require-hashes
	@test -x .venv/bin/penstock || .venv/bin/python -m pip install --quiet --no-deps -e .

setup-clients: setup
	@sh scripts/venv.sh .clients requirements/clients.txt
	@sh scripts/venv.sh .older requirements/older.txt

setup-fuzz: setup
	@sh scripts/venv.sh .fuzz requirements/fuzz.txt

setup-dev: setup
	@sh scripts/venv.sh .venv requirements/dev.txt --require-hashes

setup-tests: setup-dev setup-clients servers

servers:
	@sh scripts/debian.sh postgresql redis-server

serve: setup  ## Start the server on port 8080 (ARGS="--port 9000 ...")
	.venv/bin/penstock serve $(ARGS)

demo: setup-clients  ## Log, register, provision and query a model with unmodified clients (ARGS=--exit to end it)
	.clients/bin/python examples/demo.py $(ARGS)

test: setup-tests house unit reference acceptance  ## Everything, the unmodified clients included

quick: setup-dev servers house unit  ## What needs no clients

house:
	$(PYTEST) tests/house

unit:
	SCHEDULES=$(SCHEDULES) SCHEMAS=$(SCHEMAS) $(PYTEST) tests/unit tests/contract tests/api tests/engine tests/process

reference:
	$(CLIENT_PYTEST) tests/reference

models: setup-tests  ## Write docs/models.md from what tests of families show, of vLLM too (PENSTOCK_VLLM_PYTHON=...)
	rm -rf build/models && mkdir -p build/models
	MODELS_TABLE=$(CURDIR)/build/models $(CLIENT_PYTEST) tests/reference
	MODELS_TABLE=$(CURDIR)/build/models $(PYTEST) tests/engine/test_family_tools.py tests/engine/test_vllm_families.py
	.venv/bin/python scripts/models_table.py build/models

acceptance:
	.venv/bin/python scripts/with_server.py $(CLIENT_PYTEST) tests/acceptance

VLLM_PYTHON ?= .vllm/bin/python
.PHONY: setup-vllm test-vllm
setup-vllm:  ## An environment with vLLM built for CPUs, in .vllm (3.5 GB)
	@$(or $(PYTHON),python3) scripts/vllm_env.py .vllm

test-vllm: setup-dev $(if $(filter .vllm/%,$(VLLM_PYTHON)),setup-vllm)  ## The tests that need a real vLLM (VLLM_PYTHON=...)
	PENSTOCK_VLLM_PYTHON=$(abspath $(VLLM_PYTHON)) $(PYTEST) tests/contract/test_vllm_real.py tests/process/test_vllm_server.py

.PHONY: setup-fuzz fuzz
fuzz: setup-fuzz  ## Try the API with requests made of its own description (ARGS="--minutes 10 --seed 1")
	.venv/bin/python scripts/with_server.py .venv/bin/python scripts/fuzz.py $(ARGS)

format:  ## Format the code and fix what ruff can
	.venv/bin/ruff check --fix-only src tests bench examples scripts
	.venv/bin/ruff format src tests bench examples scripts

bench-engine: setup-dev  ## Tokens per second against OpenVINO GenAI
	.venv/bin/python bench/engine.py $(ARGS)

bench-adapters: setup-dev  ## What LoRA adapters cost
	.venv/bin/python bench/adapters.py $(ARGS)

bench-embeddings: setup-dev setup-clients  ## Embeddings: tokens per second and closeness against sentence-transformers
	.clients/bin/python bench/embeddings.py $(ARGS)

bench-gateway: setup-dev  ## Requests per second against nginx
	@sh scripts/debian.sh nginx wrk
	.venv/bin/python bench/gateway.py $(ARGS)

bench-external: setup-dev  ## In front of external models, against LiteLLM and nginx
	@sh scripts/debian.sh nginx wrk
	@sh scripts/venv.sh .litellm-env requirements/litellm.txt
	.venv/bin/python bench/external $(ARGS)

bench-gate: setup  ## Microseconds that the gate takes for a request
	.venv/bin/python bench/gate.py $(ARGS)

bench-limits: setup  ## How exact rate limits are under 50 clients, and what they cost
	.venv/bin/python bench/limits.py $(ARGS)

bench-scaling: setup  ## How quickly allotments rise, within a device and by a new replica
	.venv/bin/python bench/scaling.py $(ARGS)

bench-guarantee: setup  ## What neighbours do to what was bought, with the gate and without
	.venv/bin/python bench/guarantee $(ARGS)

bench-vllm: setup $(if $(filter .vllm/%,$(VLLM_PYTHON)),setup-vllm)  ## vLLM behind us beside vLLM by itself (VLLM_PYTHON=...)
	PENSTOCK_VLLM_PYTHON=$(abspath $(VLLM_PYTHON)) .venv/bin/python bench/vllm.py $(ARGS)

COMPILE = .venv/bin/pip-compile -q --generate-hashes --no-emit-options --strip-extras --no-header --no-annotate \
	--allow-unsafe
lock:  ## Write the lock files anew from pyproject.toml
	$(COMPILE) -o requirements/server.txt pyproject.toml
	$(COMPILE) --extra dev -c requirements/server.txt -o requirements/dev.txt pyproject.toml

clean:  ## Remove what was built
	rm -rf .venv .clients .older .fuzz .vllm .bench-env .litellm-env bench/out build src/*.egg-info
