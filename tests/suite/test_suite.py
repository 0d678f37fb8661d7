"""The conformance suite, as a stranger runs it: in a process and a directory of its own."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobqueue import Controller
from jobqueue._ports import LeasePort, LookPort, WaitPort
from jobqueue.testing import harness
from jobqueue.testing.harness import ALL, CAPABILITIES, Harness, LacksError
from jobqueue.testing.plugin import loaded
from tests.suite.faulty import FAULTS, Healthy
from tests.suite.remote import Misspelt

ROOT = Path(__file__).parents[2]
SUITE = "jobqueue.testing.conformance"
PATIENCE_S = 300


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def run_suite(engine: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`pytest --pyargs jobqueue.testing.conformance --engine ...`, or of some of its files."""
    asked = arguments or ("--pyargs", SUITE)
    options = ["-p", "no:cacheprovider", f"--engine={engine}", f"--rootdir={cwd}"]
    return python("-m", "pytest", *options, *asked, cwd=cwd)


def files(*verbs: str) -> list[str]:
    return ["--pyargs", *(f"{SUITE}.test_{verb}" for verb in verbs)]


# ---------------------------------------------------------------- planted faults


def test_faults_are_caught(tmp_path):
    """By a test that passes without the fault."""
    engines = [f"--engine=tests.suite.faulty:{fault.__name__}Harness" for fault in FAULTS]
    tests = {
        f"{SUITE}.test_{fault.caught_by.format(name)}": name
        for fault in FAULTS
        for name in (fault.__name__, Healthy.__name__)
    }
    ran = run_suite(
        "tests.suite.faulty:HealthyHarness", *engines, "-v", "--pyargs", *tests, cwd=tmp_path
    )
    assert functions("ERROR", ran.stdout) == set(), ran.stdout
    found = re.findall(r"::\w+\[(\w+?)(?:-[^\]]*)?\] (PASSED|FAILED|SKIPPED)", ran.stdout)
    assert len(found) == len(tests), ran.stdout + ran.stderr
    assert {name for name, outcome in found if outcome == "FAILED"} == {
        fault.__name__ for fault in FAULTS
    }
    assert {name for name, outcome in found if outcome == "PASSED"} == {Healthy.__name__}


# ---------------------------------------------------------------- engines of others


def functions(outcome: str, shown: str) -> set[str]:
    """The test functions of that outcome in what `pytest -v` shows."""
    return set(re.findall(rf"^\S*(test_\w+\.py::\w+)\S* {outcome}", shown, re.MULTILINE))


def test_most_of_it_needs_nothing_that_only_the_embedded_engine_has(tmp_path):
    ran = run_suite("tests.suite.remote:Remote", "-v", "--pyargs", SUITE, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed, skipped = functions("PASSED", ran.stdout), functions("SKIPPED", ran.stdout)
    assert len(passed - skipped) >= 380
    assert len(skipped) <= 20
    assert re.search(
        r"^    lacks registry: \d+ tests skipped\. Records are", ran.stdout, re.MULTILINE
    )
    assert re.search(r"^remote: \d+ passed, \d+ skipped$", ran.stdout, re.MULTILINE)


def test_an_engine_of_ones_own_from_a_directory_of_its_own(tmp_path):
    source = (ROOT / "examples/own_engine.py").read_text("utf-8")
    (tmp_path / "own_engine.py").write_text(source, "utf-8")
    ran = run_suite("own_engine:OwnHarness", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.search(r"^own: (\d+) passed, \d+ skipped$", ran.stdout, re.MULTILINE)
    assert found, ran.stdout
    assert int(found[1]) > 200


def test_an_engine_of_ones_own_is_small():
    source = (ROOT / "examples/own_engine.py").read_text("utf-8")
    [engine] = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == "OwnEngine"
    ]
    lines = ast.unparse(engine).splitlines()  # without comments
    assert len([line for line in lines if line and not line.strip().startswith('"""')]) < 200


def test_what_is_lacking_is_skipped_by_name(tmp_path):
    others = [f"--engine=tests.suite.remote:{name}" for name in ("Absent", "Remote")]
    asked = (*others, "-rs", *files("pause", "touch"))
    ran = run_suite("tests.suite.remote:Forgetful", *asked, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for capability in ("pause", "records"):
        assert f"lacks {capability}: {CAPABILITIES[capability]}" in ran.stdout
    assert re.search(r"^forgetful: \d+ passed, \d+ skipped$", ran.stdout, re.MULTILINE)
    assert re.search(r"^remote: \d+ passed$", ran.stdout, re.MULTILINE), "of several engines"
    assert "absent cannot run here: its server is not installed" in ran.stdout


@pytest.mark.parametrize(
    ("engine", "error", "said"),
    [
        ("tests.suite.remote", pytest.UsageError, "--engine wants module:factory"),
        ("tests.suite.remote:nothing", AttributeError, "has no attribute 'nothing'"),
        ("tests.suite.remote:no_harness", pytest.UsageError, "makes no harness"),
        ("no_such_module:nothing", ModuleNotFoundError, "no_such_module"),
    ],
)
def test_what_is_wrong_with_an_engine_is_said(engine, error, said):
    with pytest.raises(error, match=said):
        loaded(engine)


def test_settings_of_the_user_s_own_tests_do_no_harm(tmp_path):
    settings = [
        "[pytest]",
        "python_files = check_*.py",
        "addopts = --strict-markers --strict-config",
        "filterwarnings = error",
    ]
    (tmp_path / "pytest.ini").write_text("\n".join(settings), "utf-8")
    asked = ("--pyargs", SUITE, "-k", "test_touch or test_stats")
    ran = run_suite("tests.suite.remote:Remote", *asked, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^remote: \d+ passed$", ran.stdout, re.MULTILINE), ran.stdout


def test_every_engine_is_closed_though_a_check_fails():
    closed = []

    class Broken(Harness):
        def open(self, **options):
            return SimpleNamespace(close=lambda: closed.append(self))

        def check(self, engine):
            raise AssertionError("broken inside")

    broken = Broken()
    broken.make()
    broken.make()
    with pytest.raises(AssertionError, match="broken inside"):
        broken.close()
    assert len(closed) == 2


def test_a_capability_that_is_none_is_said():
    with pytest.raises(ValueError, match=r"no capabilities: \['batch'\]"):
        Misspelt().make()


def test_the_suite_wants_an_engine(tmp_path):
    ran = python("-m", "pytest", "-p", "no:cacheprovider", *files("stats"), cwd=tmp_path)
    assert ran.returncode != 0
    assert "wants an engine: --engine module:factory" in ran.stdout + ran.stderr


# ---------------------------------------------------------------- who has no need of it


def test_other_runs_of_pytest_know_nothing_of_it(tmp_path):
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\n\ndef test():\n    assert 'jobqueue' not in sys.modules\n", "utf-8"
    )
    ran = python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = python("-m", "pytest", "-q", "--engine=a:b", cwd=tmp_path)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --engine" in ran.stderr


@pytest.mark.parametrize("module", ["jobqueue.testing", "jobqueue.testing.model"])
def test_virtual_time_needs_no_pytest(module, tmp_path):
    code = f"import sys, {module}, jobqueue.testing.harness; assert 'pytest' not in sys.modules"
    assert python("-c", code, cwd=tmp_path).returncode == 0


def test_capabilities_are_all_described():
    assert frozenset(CAPABILITIES) == ALL
    assert all(text.endswith(".") for text in CAPABILITIES.values())


def test_every_verb_and_option_has_its_capability():
    """What is new on a Controller must not pass the gate unseen."""
    base = {"add", "lease", "close", "closed", "clock", "by_hand"}
    ports = {"add_now", "schedule_now", *dir(LeasePort), *dir(WaitPort), *dir(LookPort)}
    verbs = {name for name in dir(Controller) if not name.startswith("_")}
    assert verbs - base - (ports - set(harness._VERBS)) == set(harness._VERBS)
    options = {*inspect.signature(Controller.__init__).parameters} - {"self", "clock", "by_hand"}
    assert options == set(harness._OPTIONS)
    for verb, names in harness._POSITIONS.items():
        known = list(inspect.signature(getattr(Controller, verb)).parameters)
        assert tuple(known[1 : 1 + len(names)]) == names, verb


class Bare(Harness):
    def open(self, **options):
        return Controller(clock=self.clock, **options)


def test_outside_of_the_suite_a_lack_is_an_error():
    with pytest.raises(LacksError, match="engine lacks pause: pause and resume a queue"):
        Bare().need("pause")
