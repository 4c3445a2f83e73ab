# Every recipe is one call of a program that also works without make. Paths are relative, because make cannot quote a
# project directory with a space in its name.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Without its bytecode every process compiles all that it imports, which takes it seconds; container images forbid it.
unexport PYTHONDONTWRITEBYTECODE

# The first Python that is new enough; `make PYTHON=/path/to/python3` takes another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
PY := .venv/bin/python
INSTALLED := .venv/.installed
PYPROJECTS := pyproject.toml $(wildcard */pyproject.toml services/*/pyproject.toml)

$(INSTALLED): requirements.lock tools/bootstrap.lock tools/bootstrap.py $(PYPROJECTS)
	@command -v $(PYTHON) >/dev/null || { echo "atelier: python3 is missing: install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) tools/bootstrap.py

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

##@ Setup

.PHONY: install lock lock-check lock-kafka
install: $(INSTALLED) ## make .venv with the locked packages; needs Python 3.11 or newer and nothing else
lock: $(INSTALLED) ## remake every requirements.lock (UPGRADE=1: newest versions)
	@$(PY) tools/locks.py $(if $(UPGRADE),--upgrade)
lock-check: $(INSTALLED) ## fail when a lock is out of date
	@$(PY) tools/locks.py --check
lock-kafka: $(INSTALLED) ## remake the lock of Kafka's jars; the only target that needs Maven
	@$(PY) -m devstack lock-kafka

##@ Run

.PHONY: demo up down logs
demo: $(INSTALLED) ## one picture from request to delivery, with every event and credit (PROMPT="...")
	@$(PY) -m devstack demo
up: $(INSTALLED) ## start everything and print one URL (KAFKA_BROKERS=3, S3=seaweedfs, OBSERVE=1, ATELIER_PORT_BASE=8100)
	@$(PY) -m devstack up
down: $(INSTALLED) ## stop what `make up` started
	@$(PY) -m devstack down
logs: $(INSTALLED) ## what the parts print (PART=billing, FOLLOW=1)
	@$(PY) -m devstack logs $(PART) $(if $(FOLLOW),--follow)

##@ Check

.PHONY: fmt lint types deps check
fmt: $(INSTALLED) ## format and fix what can be fixed
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .
lint: $(INSTALLED) ## style, mistakes, rules of the house, who may import whom
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) tools/check_house.py
	@$(PY) .venv/bin/lint-imports
types: $(INSTALLED) ## mypy, strict
	@$(PY) -m mypy
# A service may use what kit brings (DEP003); it may not use what nothing brings, nor ask for what it does not use.
deps: $(INSTALLED) ## every package asks for what it imports, and for nothing else
	@for member in shared kit services/* twins devstack; do \
		$(PY) -m deptry $$member --config $$member/pyproject.toml --known-first-party $${member##*/} \
			--extend-exclude '.*/tests/' --ignore DEP003 || exit 1; \
	done
check: lint types deps events-check env-check lock-check ## everything that needs no server

##@ Test

.PHONY: test test-fast test-crash
test: $(INSTALLED) ## everything, against real servers
	@$(PY) -m pytest -n auto --dist loadgroup --no-loadscope-reorder --whole
test-crash: $(INSTALLED) ## 1,000 jobs under 60 random kills, then a verdict (JOBS=, FAULTS=, SEED=, KAFKA_BROKERS=3)
	@JOBS=$(JOBS) FAULTS=$(FAULTS) SEED=$(SEED) KAFKA_BROKERS=$(KAFKA_BROKERS) $(PY) tests/crash/random_kills.py
test-fast: $(INSTALLED) ## what needs no server, for the inner loop
	@$(PY) -m pytest -n auto -m "not connected and not browser and not slow"

##@ Bench

BENCH_INSTALLED := .venv/.bench-installed
$(BENCH_INSTALLED): bench/requirements.lock $(INSTALLED)
	@$(PYTHON) tools/bootstrap.py bench/requirements.lock && touch $@

.PHONY: bench bench-check
bench: $(BENCH_INSTALLED) ## one table of all figures, and the same work by FastAPI and Celery (ARGS="race --rounds 3")
	@$(PY) -m bench run $(ARGS)
bench-check: $(INSTALLED) ## fail when a job costs more messages, rows, S3 requests or transactions than it may
	@$(PY) -m bench check $(ARGS)

##@ Generated files

.PHONY: events events-check env env-check
events: $(INSTALLED) ## write docs/events from the event classes and subscriptions
	@$(PY) tools/event_catalogue.py
events-check: $(INSTALLED) ## fail when docs/events is out of date
	@$(PY) tools/event_catalogue.py --check
env: $(INSTALLED) ## write .env.example from the settings classes
	@$(PY) tools/env_example.py
env-check: $(INSTALLED) ## fail when .env.example is out of date
	@$(PY) tools/env_example.py --check

##@ Data

.PHONY: migration invariants
migration: $(INSTALLED) ## write a service's next migration (SVC=billing M="what it does")
	@$(PY) -m devstack migration $(SVC) "$(M)"
invariants: $(INSTALLED) ## what must always hold, checked in every service of the running stack
	@$(PY) -m devstack invariants

##@ Deploy

.PHONY: images manifests dashboards
images: ## build the images of all services and of the twins (needs Docker)
	@docker compose --profile twins build
manifests: ## the Kubernetes manifests of an overlay (OVERLAY=production; needs kubectl)
	@kubectl kustomize --load-restrictor LoadRestrictionsNone deploy/k8s/overlays/$(or $(OVERLAY),production)
dashboards: $(INSTALLED) ## write Grafana's dashboards from their definitions
	@$(PY) deploy/observability/dashboards.py

##@ Ops

.PHONY: dead-letters outbox
dead-letters: $(INSTALLED) ## messages a service could not handle (SVC=billing DO="list", "show 17", "replay", "drop 17")
	@$(PY) -m devstack run $(SVC) dead-letters $(or $(DO),list)
outbox: $(INSTALLED) ## events of a service that wait to be sent (SVC=billing DO="lag", "resend --since 60")
	@$(PY) -m devstack run $(SVC) outbox $(or $(DO),lag)
