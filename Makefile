# Every target makes the environment it needs, in .venv. Needs Python >= 3.11 (venv, headers), make and a C compiler.
PYTHON ?= python3
OUT ?= out
export PATH := $(CURDIR)/.venv/bin:$(PATH)

PIP := python -m pip --disable-pip-version-check --no-input
RECORDINGS := recordings/demo.csv recordings/rom.csv recordings/one_sided.parquet recordings/movella_dot/movella_dot.toml
COMPILED := $(patsubst ext/%.pyx,imuposture._ext.%,$(wildcard ext/*.pyx))
SOURCES := pyproject.toml setup.py $(wildcard ext/*)

.PHONY: help demo process test check layering docs picture bench instructions sanitize soak fullstack recordings clean

help:
	@echo "make demo        record two virtual sensors, beside the truth: a minute, no hardware"
	@echo "make process     process recordings/ into $(OUT)/recordings/ and show what came out"
	@echo "make test        the whole test suite"
	@echo "make check       format, lint, types, stubs of the compiled modules, layering"
	@echo "make docs        links and examples of README and docs"
	@echo "make picture     draw docs/demo.png anew"
	@echo "make bench       benchmarks: accuracy and speed (minutes)"
	@echo "make instructions [UPDATE=--update]  count what a sample costs (needs valgrind), or take it as the new budget"
	@echo "make sanitize    tests of the compiled modules with address and undefined-behaviour sanitizers (minutes)"
	@echo "make soak        full counts of what the suite runs a part of: drops, kills, 24 hours, mutated payloads (hours)"
	@echo "make fullstack   record through BlueZ and bleak's own backend, in a virtual machine (minutes; needs root once)"
	@echo "make recordings  simulate recordings/ anew"
	@echo "make clean       remove everything that was built, .venv included"

demo: .venv/for-demo
	imuposture demo

process: .venv/for-demo
	imuposture process $(RECORDINGS) --out $(OUT)/recordings --overwrite
	@echo "The sessions, as Parquet:" && ls -1 $(OUT)/recordings/*/*.parquet

test: .venv/for-test
	python -m pytest -n auto --maxprocesses 4

check: .venv/for-check layering
	ruff format --check
	ruff check
	mypy --strict
	cython-lint ext
	python -m mypy.stubtest --mypy-config-file pyproject.toml --ignore-missing-stub --ignore-disjoint-bases $(COMPILED)

layering: .venv/for-test
	python -m pytest -q tests/test_layering.py

docs: .venv/for-test
	python -m pytest -q tests/test_docs.py

picture: .venv/for-docs
	python benchmarks/draw_demo.py

BENCHMARKS := accuracy heading metrics_walking metrics_movements metrics_exposure metrics_cost speed fusion_speed memory live

bench: .venv/for-test
	set -e; for script in $(BENCHMARKS); do python benchmarks/$$script.py; done

instructions: .venv/for-demo
	python benchmarks/instructions.py $(UPDATE)

sanitize: .venv/for-test
	.ci/sanitize .

# What live recording must show, in full: counting over drops; kills and full disks; a day; mutated payloads.
SOAK_COUNTING := test_counting test_ble_link test_live_faults test_clocks
SOAK_KILLS := test_recover test_journal test_journal_damage test_closing test_recording_virtual
SOAK_DAY := test_live_day test_recording_soak test_live_callback
SOAK_MUTATED := $(patsubst tests/%.py,%,$(shell grep -l driver_fuzz tests/test_*.py))

soak: .venv/for-test
	export IMUPOSTURE_SOAK=1; failed=0; \
	for part in "drops, loss, disorder and wraps: $(SOAK_COUNTING)" "200 kills: $(SOAK_KILLS)" \
	  "24 hours: $(SOAK_DAY)" "a million mutated payloads a driver: $(SOAK_MUTATED)"; do \
	  echo "soak: $$part"; \
	  python -m pytest -n auto --maxprocesses 4 -rA --durations=5 $$(printf 'tests/%s.py ' $${part##*: }) || failed=1; \
	done; exit $$failed

fullstack: .venv/for-test build-guest/disk.img
	IMUPOSTURE_FULLSTACK=1 python -m pytest -q -rs -s tests/test_fullstack.py

build-guest/disk.img: tests/fullstack/mkimage tests/fullstack/initramfs-init | .venv/for-test
	tests/fullstack/mkimage build-guest python

recordings: .venv/for-demo
	python benchmarks/make_recordings.py

clean:
	rm -rf .venv build build-* dist $(OUT) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find imuposture tests benchmarks \( -name '*.so' -o -name '*.pyd' -o -name __pycache__ \) -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("imuposture needs Python 3.11 or later; name one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

# One installation compiles the core once; a larger one holds the smaller ones.
.venv/for-demo: $(SOURCES) | .venv/bin/python
	$(PIP) install --quiet --editable '.[virtual]'
	touch $@

.venv/for-test: $(SOURCES) | .venv/bin/python
	$(PIP) install --quiet --editable '.[test]'
	touch $@ .venv/for-demo

.venv/for-check: $(SOURCES) | .venv/bin/python
	$(PIP) install --quiet --editable '.[test,check]'
	touch $@ .venv/for-test .venv/for-demo

.venv/for-docs: $(SOURCES) | .venv/bin/python
	$(PIP) install --quiet --editable '.[virtual,docs]'
	touch $@ .venv/for-demo
