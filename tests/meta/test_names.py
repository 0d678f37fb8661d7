"""The public names, the stubs and the contract agree."""

import ast
import importlib
import importlib.machinery
import inspect
import typing
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

import jobqueue
import jobqueue.testing

PACKAGE = Path(jobqueue.__file__).parent

# As the contract names them, section by section.
CONSTANTS = {
    "MAX_NAME": 255,
    "MAX_PAYLOAD": 1_048_576,
    "MAX_RESULT": 1_048_576,
    "MAX_ATTEMPTS": 255,
    "MAX_FAILS": 255,
    "MAX_HARD_ATTEMPTS": 255,
    "MAX_RUN_RECORD_ATTEMPTS": 2**64 - 1,
    "MAX_TTR": 86_400_000,
    "MAX_TIMEOUT": 86_400_000,
    "MAX_TTL": 2_592_000_000,
    "MAX_UNIQUE": 255,
    "TIME_FORMAT": "%Y-%m-%dT%H:%M:%SZ",
}
TYPES = {
    "Attempt", "Clock", "Controller", "ID", "Inspector", "Iterator", "Job", "QueueController",
    "QueueStats",
    "Registry", "RunRecord", "RunResult", "State", "Stats", "SystemClock", "Timer", "TimerKind",
    "TimerWheel", "WorkQueue",
}  # fmt: skip
ERRORS = {
    "AlreadyLeasedError", "AlreadyProcessedError", "ClosedError", "DuplicateError",
    "DuplicateJobError", "DuplicateResultError", "EnqueueError", "InvalidIDError",
    "InvalidMaxAttemptsError", "InvalidMaxFailsError", "InvalidNameError", "InvalidPayloadError",
    "InvalidPriorityError", "InvalidResultError", "InvalidTTLError", "InvalidTTRError",
    "InvalidTimeError", "InvalidTimeoutError", "InvalidUniqueError", "JobQueueError",
    "LeaseExpiredError", "MaxAttemptsReachedError", "NotDeadError", "NotFoundError",
    "QueueFullError", "QueueOutOfSyncError", "ValidationError", "WaitTimeoutError",
}  # fmt: skip
VALIDATORS = {
    "validate_add_job", "validate_id", "validate_name", "validate_payload", "validate_result",
    "validate_run_job", "validate_schedule_job", "validate_time", "validate_timeout",
    "validate_ttl", "validate_ttr", "validate_unique",
}  # fmt: skip
PROTOCOLS = {
    "Adder", "Completer", "ControllerInterface", "Deleter", "Failer", "Leaser", "Runner",
    "QueueControllerInterface", "QueueInterface", "Scheduler",
}  # fmt: skip
# Names for annotations, and the version: not in the contract, of use to whoever writes types.
EXTRA = {"Duration", "IDLike", "__version__"}

METHODS: dict[str, dict[str, list[str]]] = {
    # class: method: names of its arguments
    "Controller": {
        "__init__": [
            "registry", "queues", "clock", "rng", "result_ttl", "max_jobs", "max_bytes", "history",
            "keep_expired",
        ],
        "add": ["job", "wait"],
        "schedule": ["job", "wait"],
        "limit": ["name", "max_jobs", "max_bytes"],
        "queue_stats": ["name"],
        "observe": ["callback"],
        "explain": ["id"],
        "run": ["job", "timeout"],
        "lease": ["names", "timeout"],
        "complete": ["id", "result", "attempt"],
        "fail": ["id", "result", "attempt", "delay", "final"],
        "result": ["id", "timeout"],
        "delete": ["id"],
        "expire": ["id"],
        "timeout_attempt": ["id"],
        "start_attempt": ["id"],
        "handle_expire": ["f"],
        "expire_func": [],
        "handle_timeout_attempt": ["f"],
        "timeout_attempt_func": [],
        "stats": [],
        "registry": [],
        "queues": [],
        "add_many": ["jobs"],
        "lease_many": ["names", "n", "timeout"],
        "complete_many": ["pairs"],
        "delete_many": ["ids"],
        "touch": ["id", "ttr", "attempt"],
        "release": ["id", "delay", "attempt"],
        "attempt": ["names", "timeout"],
        "peek": ["name"],
        "jobs": ["name", "offset", "limit"],
        "scheduled_jobs": ["name", "offset", "limit"],
        "names": [],
        "dead": ["name", "offset", "limit"],
        "kick": ["id"],
        "cancel": ["id", "reason"],
        "pause": ["name"],
        "resume": ["name"],
        "close": [],
        "__enter__": [],
    },
    "Attempt": {
        "complete": ["result"],
        "fail": ["result", "delay", "final"],
        "touch": ["ttr"],
        "release": ["delay"],
        "deadline": [],
        "__enter__": [],
    },
    "ID": {"new": [], "parse": ["text"], "uuid": [], "__bytes__": [], "__hash__": []},
    "Job": {
        "replace": [
            "name", "payload", "id", "priority", "ttr", "ttl", "max_attempts", "max_fails", "time",
            "created", "unique",
        ],
        "id": [], "name": [], "payload": [], "priority": [], "ttr": [], "ttl": [],
        "max_attempts": [], "max_fails": [], "time": [], "time_ns": [], "created": [],
        "created_ns": [], "expiration": [], "unique": [],
    },
    "RunRecord": {
        "running": [], "success": [], "processed": [], "write_result": ["result", "success"],
        "attempts": [], "state": [], "fails": [], "job": [], "result": [], "timers": [],
    },
    "Registry": {
        "add": ["record"], "delete": ["id"], "record": ["id"], "__len__": [], "__iter__": [],
    },
    "WorkQueue": {
        "add": ["job"], "schedule": ["job"], "delete": ["job"], "exists": ["job"],
        "awake": ["job"], "lease": [], "__len__": [],
    },
    "QueueController": {
        "queue": ["name"], "queues": [], "add": ["job"], "schedule": ["job"], "run": ["job"],
        "delete": ["job"], "awake": ["job"], "exists": ["job"], "lease": ["name"],
    },
    "Inspector": {"lens": [], "iterators": []},
    "Iterator": {"current": [], "next": [], "seek": ["n"], "__iter__": [], "__next__": []},
    "Timer": {"deadline": [], "cancel": [], "cancelled": [], "fired": []},
    "TimerWheel": {"arm": ["deadline", "callback"], "advance": ["now"], "next_deadline": []},
    "Clock": {"now_ns": [], "monotonic_ns": []},
    "SystemClock": {"now_ns": [], "monotonic_ns": []},
}  # fmt: skip


def stubs() -> dict[str, ast.Module]:
    """Parsed stubs of native modules, and sources of the Python ones, by module name."""
    paths = {path.stem: path for path in PACKAGE.glob("*.py")}
    for pattern in ("*.pyi", "_objects/*.pyi", "_engine/*.pyi"):
        paths |= {module_of(path): path for path in PACKAGE.glob(pattern)}
    return {name: ast.parse(path.read_text("utf-8")) for name, path in paths.items()}


def module_of(path: Path) -> str:
    """The dotted name of a file below the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


STUBS = stubs()


def described(name: str) -> dict[str, ast.FunctionDef]:
    """The methods of a class and its bases, from wherever it is described."""
    found: dict[str, ast.FunctionDef] = {}
    for module in STUBS.values():
        for node in module.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                for base in node.bases:
                    found |= described(ast.unparse(base))
                found |= {
                    part.name: part for part in node.body if isinstance(part, ast.FunctionDef)
                }
    return found


def test_all_names_and_no_others() -> None:
    expected = {*CONSTANTS, *TYPES, *ERRORS, *VALIDATORS, *PROTOCOLS, *EXTRA}
    assert sorted(jobqueue.__all__) == sorted(set(jobqueue.__all__)), "a name twice"
    assert set(jobqueue.__all__) == expected
    assert jobqueue.testing.__all__ == ["ManualClock"]


@pytest.mark.parametrize("name", jobqueue.__all__)
def test_every_name_is_there(name: str) -> None:
    assert hasattr(jobqueue, name)


def test_no_other_public_name() -> None:
    modules = {
        "aio", "cli", "cmdlog", "controller", "errors", "interfaces", "observing",
        "telemetry", "testing", "validation", "worker",
    }  # fmt: skip
    # pytest rewrites the package of a plugin; what it adds is no identifier.
    names = {name for name in vars(jobqueue) if name.isidentifier() and not name.startswith("_")}
    extra = names - set(jobqueue.__all__)
    assert extra <= modules, extra - modules


@pytest.mark.parametrize(("name", "value"), CONSTANTS.items())
def test_constants(name: str, value: Any) -> None:
    assert getattr(jobqueue, name) == value
    assert type(getattr(jobqueue, name)) is type(value)


def test_enums() -> None:
    assert issubclass(jobqueue.State, IntEnum)
    assert {state.name: state.value for state in jobqueue.State} == {
        "NEW": 0,
        "COMPLETED": 1,
        "FAILED": 2,
        "PENDING": 3,
        "LEASED": 4,
    }
    assert {kind.name: kind.value for kind in jobqueue.TimerKind} == {
        "TTR": 0,
        "TTL": 1,
        "SCHEDULED": 2,
    }


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_are_checked_at_run_time(name: str) -> None:
    protocol = getattr(jobqueue, name)
    assert typing.is_protocol(protocol) if hasattr(typing, "is_protocol") else True
    assert not isinstance(object(), protocol)


def test_what_is_offered() -> None:
    with jobqueue.Controller() as c:
        for name in PROTOCOLS - {"QueueInterface", "QueueControllerInterface"}:
            assert isinstance(c, getattr(jobqueue, name)), name
        assert isinstance(c.queues, jobqueue.QueueControllerInterface)
    assert isinstance(jobqueue.WorkQueue(), jobqueue.QueueInterface)


# ---------------------------------------------------------------- methods


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name, methods in METHODS.items() for method in methods]
)
def test_methods_and_their_arguments(name: str, method: str) -> None:
    """Each is there at run time, and the stub or source names the arguments as the contract."""
    assert hasattr(getattr(jobqueue, name), method)
    node = described(name).get(method)
    assert node is not None, "not described in a stub"
    arguments = node.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    names = [argument.arg for argument in listed if argument.arg not in ("self", "cls")]
    assert [given for given in names if not given.startswith("_")] == METHODS[name][method]


def test_arguments_can_be_given_by_name() -> None:
    """What the stubs promise holds for the native methods."""
    from datetime import UTC, datetime

    with jobqueue.Controller() as c:
        job = jobqueue.Job("a", max_fails=9)
        c.add(job=job, wait=0)
        c.schedule(job=jobqueue.Job("a", time=datetime(2100, 1, 1, tzinfo=UTC)))
        c.add_many(jobs=[jobqueue.Job("a")])
        c.lease(names="a", timeout=0)
        c.touch(id=job, ttr=1000, attempt=1)
        c.release(id=job, delay=0, attempt=1)
        c.start_attempt(id=job)
        c.fail(id=job, result=b"", attempt=2, delay=0)
        c.lease_many(names="a", n=5, timeout=0)
        c.timeout_attempt(id=job)
        c.complete(id=job, result=b"")
        c.result(id=job, timeout=0)
        c.complete_many(pairs=[])
        c.delete_many(ids=[])
        c.peek(name="a")
        c.jobs(name="a", offset=0, limit=1)
        c.scheduled_jobs(name="a", offset=0, limit=1)
        c.pause(name="a")
        c.resume(name="a")
        c.handle_expire(f=c.expire)
        c.handle_timeout_attempt(f=c.timeout_attempt)
        c.expire(id=job)
        with pytest.raises(jobqueue.NotFoundError):
            c.delete(id=job)
        with pytest.raises(TimeoutError):
            c.run(job=job, timeout=0)


# ---------------------------------------------------------------- docstrings


def public_callables() -> list[tuple[str, Any]]:
    found = []
    for name in (*TYPES, *ERRORS, *VALIDATORS, *PROTOCOLS):
        thing = getattr(jobqueue, name)
        found.append((name, thing))
        if not inspect.isclass(thing) or name in ERRORS:
            continue
        for base in thing.__mro__:
            if not base.__module__.startswith("jobqueue"):
                continue
            for part, value in vars(base).items():
                if not part.startswith("_") and (callable(value) or isinstance(value, property)):
                    found.append((f"{name}.{part}", value))
    return found


# One line in a protocol says all; the Controller's docstrings have the rest.
UNDOCUMENTED = {f"{name}." for name in PROTOCOLS}


@pytest.mark.parametrize(("name", "thing"), public_callables(), ids=lambda value: str(value)[:40])
def test_every_public_callable_has_a_docstring(name: str, thing: Any) -> None:
    if any(name.startswith(prefix) for prefix in UNDOCUMENTED):
        return
    doc = inspect.getdoc(thing)
    assert doc, name
    assert doc.strip()[0] not in " \n", name


# ---------------------------------------------------------------- stubs


def defined_in(module: ast.Module) -> list[str]:
    """Top-level names that a stub defines, classes with their members."""
    found = []
    for node in module.body:
        match node:
            case ast.ClassDef(name=name, body=body):
                found.append(name)
                found += [
                    f"{name}.{part.name}" for part in body if isinstance(part, ast.FunctionDef)
                ]
            case ast.FunctionDef(name=name):
                found.append(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.append(name)
    return found


WITHOUT_FACE = {
    *(f"_structures.{name}" for name in ("id_table", "wheel")),
    *(f"_machine.{name}" for name in ("bounds", "check", "events", "key_table", "life")),
    *(f"_machine.{name}" for name in ("slices", "state", "woken")),
    *(f"_engine.{name}" for name in ("batches", "leasing", "looking", "waiting")),
}
"""Native modules of C functions alone: Python sees nothing in them."""

STUB_NAMES = [
    (module_of(path), name)
    for path in sorted(PACKAGE.rglob("*.pyi"))
    for name in defined_in(ast.parse(path.read_text("utf-8")))
    if not name.endswith("buffer__")  # before 3.12 they are no attributes
]


def test_every_native_module_has_a_stub() -> None:
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    native = {
        module_of(path.with_name(path.name.split(".")[0]))
        for path in PACKAGE.rglob("*")
        if path.name.endswith(suffixes)
    }
    assert len(native) >= 2
    assert {module_of(path) for path in PACKAGE.rglob("*.pyi")} == native - WITHOUT_FACE


@pytest.mark.parametrize(("module", "name"), STUB_NAMES, ids=".".join)
def test_every_stub_name_exists(module: str, name: str) -> None:
    thing: Any = importlib.import_module(f"jobqueue.{module}")
    for part in name.split("."):
        assert hasattr(thing, part)
        thing = getattr(thing, part)


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
