"""`python -m jobqueue demo`: what it measures, what it compares, how it ends."""

import json
import random
import signal
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from jobqueue import Controller
from jobqueue.cli import demo, main
from jobqueue.cli.demo import report, verify, workers
from jobqueue.cli.demo.corpus import Source, find_sources, standard_library
from jobqueue.cli.demo.measure import Answer, answer, measure

SOURCE = b'''"""A module."""

async def one():
    def two(): return 2

class Three:
    def three(self): ...
'''
FILES = {
    "alone.py": SOURCE,
    "empty.py": b"",
    "pkg/__init__.py": b"",
    "pkg/old.py": b"print 'hello'\n",
    "pkg/deep/er.py": b"x = 1",
    "pkg/not_source.txt": b"def",
    "site-packages/foreign.py": b"",
    "pkg/__pycache__/cached.py": b"",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


@pytest.fixture
def sources(root: Path) -> list[Source]:
    return find_sources(root, limit=None, rng=random.Random(1))


@pytest.fixture(autouse=True)
def short_nap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "OVERSLEEPER_TTR", workers.OVERSLEEPER_TTR / 10)
    monkeypatch.setattr(workers, "OVERSLEEPER_NAP", workers.OVERSLEEPER_NAP / 10)
    monkeypatch.setattr(workers, "SAMPLE_INTERVAL", workers.SAMPLE_INTERVAL / 20)


def demonstrate(sources: list[Source]) -> report.Summary:
    return demo.demonstrate(sources, workers=3, rng=random.Random(1), screen=report.Screen())


# ---------------------------------------------------------------- one file


def test_measures_of_a_file() -> None:
    measures = measure(SOURCE)
    assert (measures["lines"], measures["functions"]) == (7, 3)
    assert measures["sha256"] == sha256(SOURCE).hexdigest()


def test_tokens_of_a_file() -> None:
    # encoding, x, =, 1, end of line, end of file
    assert measure(b"x = 1\n")["tokens"] == 6


def test_measures_of_nothing() -> None:
    assert measure(b"") == {
        "lines": 0,
        "tokens": 2,
        "functions": 0,
        "sha256": sha256(b"").hexdigest(),
    }


def test_an_answer_is_json(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(SOURCE)
    success, text = answer(path)
    assert success
    assert json.loads(text) == measure(SOURCE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"print 'hello'\n", "SyntaxError"),
        (b"# coding: no-such-coding\n", "SyntaxError"),
        (b"'\xff'\n", "SyntaxError"),
        (b"x = '''\n", "SyntaxError"),
        (b"x = 1\0\n", "Error"),
        (b"(" * 10_000, "Error"),
    ],
)
def test_a_file_that_does_not_parse_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(content)
    outcome = answer(path)
    assert not outcome.success
    assert reason in outcome.text.decode()


def test_a_file_that_is_gone_says_why(tmp_path: Path) -> None:
    outcome = answer(tmp_path / "gone.py")
    assert not outcome.success
    assert outcome.text.startswith(b"FileNotFoundError: ")


# ---------------------------------------------------------------- which files


def test_sources_are_the_python_files_of_the_folder_itself(sources: list[Source]) -> None:
    assert [(source.name, source.queue, source.size) for source in sources] == [
        ("alone.py", "top-level", len(SOURCE)),
        ("empty.py", "top-level", 0),
        ("pkg/__init__.py", "pkg", 0),
        ("pkg/deep/er.py", "pkg", 5),
        ("pkg/old.py", "pkg", 14),
    ]


def test_a_limit_spreads_over_the_folders(root: Path) -> None:
    for seed in range(20):
        chosen = find_sources(root, limit=3, rng=random.Random(seed))
        assert len({source.path.parent for source in chosen}) == 3
        assert chosen == find_sources(root, limit=3, rng=random.Random(seed))


def test_a_limit_above_the_number_of_files_changes_nothing(
    root: Path, sources: list[Source]
) -> None:
    assert find_sources(root, limit=100, rng=random.Random(1)) == sources


def test_the_standard_library_has_sources() -> None:
    sources = find_sources(standard_library(), limit=None, rng=random.Random(1))
    names = {source.name for source in sources}
    assert {"ast.py", "json/__init__.py", "tokenize.py"} <= names
    assert not any("site-packages" in name for name in names)


# ---------------------------------------------------------------- the run


def test_the_run_equals_the_plain_loop(sources: list[Source]) -> None:
    summary = demonstrate(sources)
    assert summary.differences == []
    assert (summary.jobs, summary.completed, summary.failed) == (5, 4, 1)
    assert summary.retried == workers.MAX_FAILS - 1
    assert summary.run.stats.timed_out == summary.run.tally.refused == 1
    assert summary.run.answers["pkg/old.py"].text.startswith(b"SyntaxError: ")
    assert summary.overhead_us > 0
    assert summary.jobs_per_second > 0


def test_one_file_is_enough(root: Path) -> None:
    summary = demonstrate(find_sources(root, limit=1, rng=random.Random(1)))
    assert summary.differences == []
    assert summary.run.stats.timed_out == 1


def test_a_difference_is_named(sources: list[Source]) -> None:
    summary = demonstrate(sources)
    run = summary.run
    assert verify.find_differences(run, summary.plain) == []

    other = replace(run, answers={**run.answers, "alone.py": Answer(success=True, text=b"{}")})
    (difference,) = verify.find_differences(other, summary.plain)
    assert difference.startswith("alone.py: completed {} through the queue, completed {")

    missing = replace(run, answers={k: v for k, v in run.answers.items() if k != "pkg/old.py"})
    (difference,) = verify.find_differences(missing, summary.plain)
    assert difference.startswith("pkg/old.py: nothing through the queue, failed SyntaxError")


def test_a_count_that_is_wrong_is_a_difference(sources: list[Source]) -> None:
    summary = demonstrate(sources)
    tally = replace(summary.run.tally, refused=0)
    assert verify.find_differences(replace(summary.run, tally=tally), summary.plain) == [
        "refused late answers: 0, not 1"
    ]
    stats = summary.run.stats._replace(timed_out=0)
    assert verify.find_differences(replace(summary.run, stats=stats), summary.plain) == [
        "refused late answers: 1, not 0",
        "the lease of the worker that overslept did not end",
    ]


@pytest.mark.parametrize("where", ["_give", "_path"])
def test_a_worker_that_breaks_down_ends_the_run(
    sources: list[Source], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def broken(*_: object) -> None:
        raise ArithmeticError

    monkeypatch.setattr(workers, where, broken)
    with pytest.raises(ArithmeticError):
        demonstrate(sources)


# ---------------------------------------------------------------- the command


@pytest.fixture
def small_library(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(demo, "standard_library", lambda: root)
    return root


@pytest.mark.usefixtures("small_library")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json", "--workers", "2", "--seed", "7"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["jobs"] == 5
    assert shown["failed"] == 1
    assert shown["timed_out"] == shown["refused_late_answers"] == 1
    assert shown["seed"] == 7
    assert list(shown["failures"]) == ["pkg/old.py"]
    assert shown["differences"] == []


@pytest.mark.usefixtures("small_library")
def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    for label in ("jobs", "refused late answers", "queue overhead per job", "jobs per second"):
        assert label in out
    assert "All 5 results are equal" in out


@pytest.mark.usefixtures("small_library")
def test_the_seed_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json", "--seed", "12"]) == 0
    assert "--seed 12" in capsys.readouterr().err


@pytest.mark.usefixtures("small_library")
@pytest.mark.parametrize("options", [["--json"], []])
def test_a_difference_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    wrong = Answer(success=True, text=b"[wrong]")
    monkeypatch.setattr(verify, "answer", lambda _path: wrong)
    assert main(["demo", *options]) == 1
    assert "alone.py: completed" in capsys.readouterr().out


def test_no_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "standard_library", lambda: tmp_path)
    assert main(["demo", "--json"]) == 1
    assert "no source files in" in capsys.readouterr().err


def test_without_rich_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["demo"]) == 2
    assert 'pip install "jobqueue[demo]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["nothing"],
        ["demo", "--workers", "1"],
        ["demo", "--limit", "0"],
        ["demo", "--limit", "many"],
    ],
)
def test_wrong_options_are_exit_code_2(
    capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(options)
    assert stopped.value.code == 2
    assert "usage: jobqueue" in capsys.readouterr().err


@pytest.mark.usefixtures("small_library")
def test_an_interrupt_ends_it_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Controller, "result", interrupted)
    assert main(["demo", "--json"]) == 130
    assert "interrupted" in capsys.readouterr().err


CTRL_C = """
import signal
from jobqueue.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
raise SystemExit(main(["demo"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
def test_ctrl_c() -> None:
    pytest.importorskip("rich")
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", CTRL_C], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process:
        seed_line = process.stderr.readline()  # it runs
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert b"--seed 1" in seed_line
    assert process.returncode == 130, err.decode()
    assert b"Traceback" not in err
