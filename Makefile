# Every verb of the project. Each does its own set-up: a virtual environment in the checkout, the
# dependencies, the build. Stamp files remember what is done, so that a second call is fast.
# People, .ci/run and the workflows under .github call these.

PYTHON ?= python3
VENV ?= .venv
DEBUG_VENV ?= .venv-debug
WHEEL_VENV ?= .venv-wheel
SANITIZE_VENV ?= .venv-sanitize
FREETHREADED_VENV ?= .venv-freethreaded
TSAN_VENV ?= .venv-tsan
# More arguments for pytest: make test ARGS="-k lease -x"
ARGS ?=
# More arguments for the demo: make demo LIMIT=300 WORKERS=8 SEED=2
DEMO_OPTIONS = $(strip $(if $(LIMIT),--limit $(LIMIT)) $(if $(WORKERS),--workers $(WORKERS)) \
	$(if $(SEED),--seed $(SEED)))
# The same for the simulator: make sim SEED=1 OPS=200000 JOBS=2; EPISODE=7 is that one alone
SIM_OPTIONS = $(strip $(if $(SEED),--seed $(SEED)) $(if $(OPS),--ops $(OPS)) \
	$(if $(EPISODE),--episode $(EPISODE)) $(if $(JOBS),--jobs $(JOBS)))

ROOT := $(CURDIR)
NATIVE := $(wildcard src/jobqueue/*.pyx src/jobqueue/*.pxd src/jobqueue/*.h src/jobqueue/*/*.pyx \
	src/jobqueue/*/*.pxd src/jobqueue/*/*.h tests/native/*.pyx) setup.py pyproject.toml
PURE := $(shell find src -name '*.py' -o -name '*.pyi')
METADATA := README.md LICENSE
PIP_INSTALL := -m pip --disable-pip-version-check install --quiet
STRICT := -X dev -W error
COVERAGE = PYTHONPATH=$(ROOT)/build/coverage/src:$(ROOT) $(ROOT)/$(VENV)/bin/python -m coverage

.DEFAULT_GOAL := help
.PHONY: help demo test debug-test sanitize-test stress freethreaded tsan wheel-test wheel portable coverage lint docs format bench bench-compare bench-micro bench-targets sdist build clean
.PHONY: peers sim linearize fuzz fuzz-log crash faults
.SECONDARY:
.DELETE_ON_ERROR:

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'PYTHON=python3.12 chooses the interpreter of a new environment (now: $(PYTHON));'
	@echo 'ARGS="-k lease" goes to pytest; LIMIT=, WORKERS= and SEED= go to the demo.'

demo: $(VENV)/.built ## run the standard library's source files through the queue
	$(VENV)/bin/python -m jobqueue demo $(DEMO_OPTIONS)

test: $(VENV)/.built $(VENV)/.group-test ## run the test suite, warnings are errors
	$(VENV)/bin/python $(STRICT) -m pytest $(ARGS)

debug-test: $(DEBUG_VENV)/.built $(DEBUG_VENV)/.group-test ## the suite on a build that checks every index and live object
	$(DEBUG_VENV)/bin/python $(STRICT) -m pytest -p no:cacheprovider $(ARGS)

# The runtime of the sanitizers must be loaded before Python is. Left out: what says nothing of native code.
sanitize-test: $(SANITIZE_VENV)/.built $(SANITIZE_VENV)/.group-test ## the suite under AddressSanitizer and UBSan
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	PYTHONMALLOC=malloc LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
		$(SANITIZE_VENV)/bin/python $(STRICT) -m pytest -p no:cacheprovider -m "not stress" \
		tests/cmdlog tests/conformance tests/property tests/unit $(ARGS)

stress: $(VENV)/.built $(VENV)/.group-test ## the long forms: races, signals, memory
	$(VENV)/bin/python $(STRICT) -m pytest --long tests/stress tests/leaks $(ARGS)

# PYTHON is a build of CPython without a GIL, as python3.13t. Newer releases of hypothesis have no wheel for 3.13t.
freethreaded: $(FREETHREADED_VENV)/.built ## suite and races without a GIL: make freethreaded PYTHON=python3.13t
	$(FREETHREADED_VENV)/bin/python $(STRICT) -m pytest -p no:cacheprovider $(ARGS)

# PYTHON is a build without a GIL and with ThreadSanitizer (configure --disable-gil --with-thread-sanitizer), whose
# flags the core is built with. What is meant: tests/stress/tsan.txt; what is left out: docs/reliability.md. Its
# reports go to a file, since pytest keeps what goes to stderr; with one of them the exit status is not 0.
tsan: $(TSAN_VENV)/.built ## races under ThreadSanitizer: make tsan PYTHON=/path/to/python3.13t
	@rm -f build/tsan/report.*
	TSAN_OPTIONS="suppressions=$(ROOT)/tests/stress/tsan.txt:second_deadlock_stack=1:history_size=7:log_path=$(ROOT)/build/tsan/report" \
		$(TSAN_VENV)/bin/python $(STRICT) -m pytest -p no:cacheprovider tests/stress/test_races.py \
		-k "built-in or pair or many" $(ARGS); \
	status=$$?; cat build/tsan/report.* 2>/dev/null; exit $$status

wheel-test: $(WHEEL_VENV)/.built $(WHEEL_VENV)/.group-test ## the suite on the wheel as users get it
	$(WHEEL_VENV)/bin/python $(STRICT) -m pytest -p no:cacheprovider $(ARGS)

wheel: $(VENV)/.group-wheel ## build, repair, inspect and test a wheel for each CPython found here
	$(VENV)/bin/python .ci/wheels.py $(ARGS)

portable: $(VENV)/.built $(VENV)/.group-portable ## compile the core for every platform of a wheel, warnings are errors
	$(VENV)/bin/python .ci/portable/check.py

# The stress tests are left out: they take long without optimisation, and reach no more.
coverage: build/coverage/.built $(VENV)/.group-test ## branches of the Python code, lines of the native code
	@find build/coverage \( -name '*.gcda' -o -name '.coverage*' \) -delete
	cd build/coverage && $(COVERAGE) run -m pytest --config-file $(ROOT)/pyproject.toml \
		--rootdir $(ROOT) -p no:cacheprovider -m "not stress" \
		$(ROOT)/tests $(ARGS)
	cd build/coverage && $(COVERAGE) combine --quiet
	cd build/coverage && $(COVERAGE) html --quiet --directory html
	cd build/coverage && $(COVERAGE) report
	$(VENV)/bin/python -m tests.native_coverage build/coverage

sim: $(VENV)/.built $(VENV)/.group-test ## simulate: random calls beside the model: make sim SEED=1 OPS=200000
	$(VENV)/bin/python $(STRICT) -m tests.sim $(SIM_OPTIONS)

linearize: $(VENV)/.built $(VENV)/.group-test ## histories of three threads, each explained by some order: HISTORIES=10000
	$(VENV)/bin/python $(STRICT) -m tests.linearize $(if $(SEED),--seed $(SEED)) \
		$(if $(HISTORIES),--histories $(HISTORIES))

crash: $(VENV)/.built $(VENV)/.group-test ## kill -9 in a loop: what was acknowledged is there: CYCLES=10000
	$(VENV)/bin/python $(STRICT) -m tests.crash $(if $(SEED),--seed $(SEED)) \
		$(if $(CYCLES),--cycles $(CYCLES)) $(if $(SECONDS),--seconds $(SECONDS))

faults: $(VENV)/.built $(VENV)/.group-test ## power cuts, flipped bits, failing calls on a disk in memory: CASES=50000 KIND=power
	$(VENV)/bin/python $(STRICT) -m tests.cmdlog $(if $(SEED),--seed $(SEED)) \
		$(if $(CASES),--cases $(CASES)) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(KIND),--kind $(KIND))

fuzz: $(VENV)/.built $(VENV)/.group-test $(VENV)/.group-fuzz ## hostile objects at every entry: SECONDS=60
	$(VENV)/bin/python $(STRICT) -m tests.fuzz $(if $(SEED),--seed $(SEED)) \
		$(if $(SECONDS),--seconds $(SECONDS))

fuzz-log: $(VENV)/.built $(VENV)/.group-test $(VENV)/.group-fuzz ## hostile command logs, guided by atheris: SECONDS=60
	$(VENV)/bin/python -X dev -m tests.cmdlog.guided $(if $(SEED),--seed $(SEED)) \
		$(if $(SECONDS),--seconds $(SECONDS))

lint: $(VENV)/.built $(VENV)/.group-lint ## ruff, mypy --strict, stubtest, pyright, cython-lint, zizmor
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m mypy.stubtest jobqueue --mypy-config-file pyproject.toml \
		--allowlist tests/typing/stubtest_allowlist.txt
	$(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python
	PATH="$(ROOT)/$(VENV)/bin:$$PATH" cython-lint src/jobqueue tests/native
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(VENV)/bin/zizmor --offline --no-progress --quiet --pedantic .github

docs: $(VENV)/.built $(VENV)/.group-docs ## the documentation as HTML, in build/docs; warnings are errors
	$(VENV)/bin/python -m sphinx -W --keep-going -n -q -b html -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

.PHONY: soak
soak: $(VENV)/.built $(VENV)/.group-test ## everything at once, for long: make soak SECONDS=600
	$(VENV)/bin/python -W error -m tests.stress.soak --seconds $(or $(SECONDS),600)

format: $(VENV)/.group-lint ## rewrite the Python files in the project's format
	$(VENV)/bin/ruff check --fix-only --exit-zero
	$(VENV)/bin/ruff format

bench: $(VENV)/.built $(VENV)/.group-bench ## measure, and write docs/performance.md
	$(VENV)/bin/python -m benchmarks.report

bench-compare: $(VENV)/.built $(VENV)/.group-bench ## two commits in turn: make bench-compare BASE=main~1
	$(VENV)/bin/python -m benchmarks.compare $(BASE)

bench-micro: $(VENV)/.built $(VENV)/.group-bench ## the small benchmarks under pytest-benchmark
	$(VENV)/bin/python -m pytest benchmarks/micro --benchmark-only $(ARGS)

bench-targets: $(VENV)/.built $(VENV)/.group-bench ## measure the figures that have a target
	$(VENV)/bin/python -m benchmarks.targets

# beanstalkd is run if it is installed (Debian: apt install beanstalkd).
peers: $(VENV)/.built $(VENV)/.group-bench $(VENV)/.group-test ## the conformance suite on the peers, and docs/peers.md
	$(VENV)/bin/python -m benchmarks.conformance

sdist: $(VENV)/.group-wheel ## source distribution, in dist/
	rm -rf dist
	$(VENV)/bin/python -m build --sdist --outdir dist
	$(VENV)/bin/twine check --strict dist/*

build: $(VENV)/.group-build ## source distribution and wheel, in dist/
	rm -rf dist
	$(VENV)/bin/python -m build --outdir dist

clean: ## remove everything that was built, the environments too
	rm -rf build dist $(VENV) $(DEBUG_VENV) $(SANITIZE_VENV) $(FREETHREADED_VENV) \
		$(TSAN_VENV) $(WHEEL_VENV) src/*.egg-info .coverage
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name '*.so' -delete -o -name '*.pyc' -delete

# ---------------------------------------------------------------- environments

define CHECK_PYTHON
import os, sys
def stop(what):
    sys.exit("\nmake: %s is Python %s: %s.\n      Another interpreter: make PYTHON=/path/to/python3\n"
             % (sys.executable, sys.version.split()[0], what))
if sys.version_info < (3, 11):
    stop("jobqueue needs 3.11 or newer")
import importlib.util, shutil, sysconfig
if importlib.util.find_spec("ensurepip") is None:
    stop("it cannot make virtual environments (Debian: apt install python3-venv)")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    stop("its C headers are missing (Debian: apt install python3-dev)")
compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
if shutil.which(compiler) is None and shutil.which("cc") is None:
    stop("the C compiler %s is missing (Debian: apt install gcc libc6-dev)" % compiler)
endef
export CHECK_PYTHON

%/.made:
	@$(PYTHON) -c "$$CHECK_PYTHON"
	$(PYTHON) -m venv --clear $*
	$*/bin/python $(PIP_INSTALL) 'pip>=25.1'
	@touch $@

# A dependency group of pyproject.toml. One rule for each environment: a pattern has one stem.
$(VENV)/.group-%: pyproject.toml $(VENV)/.made
	$(VENV)/bin/python $(PIP_INSTALL) --group $*
	@touch $@

$(DEBUG_VENV)/.group-%: pyproject.toml $(DEBUG_VENV)/.made
	$(DEBUG_VENV)/bin/python $(PIP_INSTALL) --group $*
	@touch $@

$(SANITIZE_VENV)/.group-%: pyproject.toml $(SANITIZE_VENV)/.made
	$(SANITIZE_VENV)/bin/python $(PIP_INSTALL) --group $*
	@touch $@

$(WHEEL_VENV)/.group-%: pyproject.toml $(WHEEL_VENV)/.made
	$(WHEEL_VENV)/bin/python $(PIP_INSTALL) --group $*
	@touch $@

# ---------------------------------------------------------------- builds

$(VENV)/.built: $(NATIVE) $(VENV)/.group-build
	$(VENV)/bin/python $(PIP_INSTALL) --no-build-isolation --editable '.[demo]'
	@touch $@

# Other builds are made in a copy of the tree under build/, so that none finds the C files or the
# objects of another; file times are kept, so that a copy compiles what changed and no more.
define COPY_TREE
	@mkdir -p build/$(1)
	@rm -rf build/$(1)/src build/$(1)/tests build/$(1)/build/lib*
	@cp -Rp setup.py pyproject.toml $(METADATA) src build/$(1)/
	@mkdir build/$(1)/tests && cp -Rp tests/native build/$(1)/tests/
	@find build/$(1)/src -name '*.so' -delete -o -name '*.c' -delete
	@rm -rf build/$(1)/src/*.egg-info
endef

$(DEBUG_VENV)/.built: $(NATIVE) $(PURE) $(METADATA) $(DEBUG_VENV)/.group-build
	$(call COPY_TREE,debug)
	cd build/debug && DEBUG=1 $(ROOT)/$(DEBUG_VENV)/bin/python $(PIP_INSTALL) \
		--no-build-isolation --force-reinstall '.[demo]'
	@touch $@

$(SANITIZE_VENV)/.built: $(NATIVE) $(PURE) $(METADATA) $(SANITIZE_VENV)/.group-build
	$(call COPY_TREE,sanitize)
	cd build/sanitize && SANITIZE=1 $(ROOT)/$(SANITIZE_VENV)/bin/python $(PIP_INSTALL) \
		--no-build-isolation --force-reinstall '.[demo]'
	@touch $@

$(FREETHREADED_VENV)/.built: $(NATIVE) $(PURE) $(METADATA) $(FREETHREADED_VENV)/.made
	$(FREETHREADED_VENV)/bin/python -c "import sys; assert not sys._is_gil_enabled(), 'it has a GIL'"
	$(FREETHREADED_VENV)/bin/python $(PIP_INSTALL) 'setuptools>=77' 'cython>=3.1' pytest 'hypothesis<=6.155.2' rich \
		prometheus-client opentelemetry-sdk starlette uvicorn httpx
	$(call COPY_TREE,freethreaded)
	cd build/freethreaded && TESTS=1 $(ROOT)/$(FREETHREADED_VENV)/bin/python $(PIP_INSTALL) \
		--no-build-isolation --force-reinstall .
	@touch $@

$(TSAN_VENV)/.built: export TSAN_OPTIONS = report_bugs=0
$(TSAN_VENV)/.built: $(NATIVE) $(PURE) $(METADATA) $(TSAN_VENV)/.made
	$(TSAN_VENV)/bin/python -c "import sysconfig; assert '-fsanitize=thread' in sysconfig.get_config_var('CFLAGS')"
	$(TSAN_VENV)/bin/python $(PIP_INSTALL) 'setuptools>=77' 'cython>=3.1' pytest 'hypothesis<=6.155.2' rich
	$(call COPY_TREE,tsan)
	cd build/tsan && TESTS=1 $(ROOT)/$(TSAN_VENV)/bin/python $(PIP_INSTALL) \
		--no-build-isolation --force-reinstall .
	@touch $@

build/coverage/.built: $(NATIVE) $(PURE) $(VENV)/.built
	$(call COPY_TREE,coverage)
	cd build/coverage && DEBUG=1 COVERAGE=1 \
		$(ROOT)/$(VENV)/bin/python setup.py --quiet build_ext --inplace
	@touch $@

$(WHEEL_VENV)/.built: $(NATIVE) $(PURE) $(METADATA) $(WHEEL_VENV)/.made
	@$(MAKE) build
	$(WHEEL_VENV)/bin/python $(PIP_INSTALL) --force-reinstall "$$(ls dist/*.whl)[demo]"
	@touch $@
