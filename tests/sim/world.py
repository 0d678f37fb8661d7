"""A simulated world: the engine and the model, taken through the same steps and compared.

After each step: what the call came to, what hooks saw, which waits ended, how many records there
are, and when something is due next. Every few steps: the stats; all that can be seen; the
invariants of each structure; and the books, which need no model.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Any

from jobqueue import Controller
from jobqueue.testing import ManualClock
from jobqueue.testing.model import ModelController, view_of
from jobqueue.testing.model.parts import Queues
from tests.sim.draw import Draw
from tests.sim.sides import EngineSide, ModelSide, Side
from tests.sim.verbs import VERBS

STATS_EVERY = 8
LOOK_EVERY = 64
EPISODE_STEPS = 1000
CROWD = 40
"""Jobs above which the clock is moved far: the model is slow."""


class Divergence(AssertionError):  # noqa: N818 - what happened, not whose fault it is
    """The two sides differ, or an invariant is broken."""


@dataclass(frozen=True)
class Step:
    """One call, on both sides."""

    verb: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"{self.verb}({arguments})"


LOOK = Step("(a look at everything)")


@dataclass(frozen=True)
class Setting:
    """What a world is made of."""

    names: Sequence[str] = ("a",)
    foreign: bool = False  # over queues written in Python
    result_ttl: int | None = None
    keep_expired: int = 0
    max_jobs: int | None = None
    max_bytes: int | None = None
    history: int = 0
    seed: int = 0  # of the choice among names
    engine: Callable[..., Any] = field(default=Controller, repr=False)
    model: Callable[..., Any] = field(default=ModelController, repr=False)

    @classmethod
    def drawn(cls, rng: Random, **kinds: Any) -> "Setting":
        made = cls(
            names="abc"[: rng.randrange(1, 4)],
            foreign=rng.random() < 0.3,
            result_ttl=rng.choice((None, None, None, 0, 1, 50, 1000)),
            max_jobs=rng.choice((None, None, 1, 5, 20)),
            max_bytes=rng.choice((None, None, None, 1000, 8000)),
            history=rng.choice((0, 0, 1, 3, 16)),
            seed=rng.randrange(100),
            **kinds,
        )
        return replace(made, keep_expired=(0, 0, 1, 50, 1000)[made.seed % 5])


class FirstChoice(Random):
    """Chooses the first of the names: foreign queues are looked at in an order, not by stock."""

    def shuffle(self, x: Any) -> None:
        """Leave them."""

    def randrange(self, *_: Any) -> int:
        return 0


class World:
    """Both sides of one simulation."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.foreign = Queues() if setting.foreign else None
        self.steps: list[Step] = []
        clocks = ManualClock(), ManualClock()
        self.engine = EngineSide(self._made(setting.engine, clocks[0], self.foreign), clocks[0])
        self.model = ModelSide(self._made(setting.model, clocks[1], None), clocks[1])
        self.model.engine._locks = setting.foreign
        self.sides = self.engine, self.model
        self._start_ns = clocks[0].now_ns()

    def _made(self, make: Callable[..., Any], clock: ManualClock, queues: Queues | None) -> Any:
        rng = FirstChoice() if self.setting.foreign else Random(self.setting.seed)
        setting = self.setting
        return make(
            queues=queues,
            clock=clock,
            rng=rng,
            result_ttl=setting.result_ttl,
            keep_expired=setting.keep_expired,
            max_jobs=setting.max_jobs,
            max_bytes=setting.max_bytes,
            history=setting.history,
        )

    def now_ms(self) -> int:
        """The wall time since the start."""
        return (self.model.clock.now_ns() - self._start_ns) // 1_000_000

    # ------------------------------------------------------------ steps

    def take(self, step: Step) -> None:
        """Do a step on both sides, and compare."""
        self.steps.append(step)
        if step == LOOK:
            if not self.is_closed():
                self.look()
            return
        came_to = [self._do(step, side) for side in self.sides]
        self._same("the call", *came_to)
        self._same_logs()
        self._same("ended waits", *[side.ended() for side in self.sides])
        self._same("sleepers woken wrongly", self.engine.misrung(), [])
        self._same("records", *[len(side.engine.registry) for side in self.sides])
        self._same("next deadline", *[side.engine.next_deadline_ns() for side in self.sides])

    def _do(self, step: Step, side: Side) -> Any:
        verb = VERBS[step.verb]

        def call() -> Any:
            arguments = {key: side.make(value) for key, value in step.arguments.items()}
            if verb.do is not None:
                return verb.do(side, **arguments)
            return getattr(side.engine, step.verb)(**arguments)

        with side.listening():
            return side.outcome(call)

    def is_closed(self) -> bool:
        return bool(self.engine.engine.closed)

    def finish(self) -> None:
        """The end: everybody who waits leaves, and all is looked at once more."""
        if not self.is_closed():
            for number in list(self.model.waits):
                self.take(Step("(giving up a wait)", {"number": number}))
            self.look()
        for side in self.sides:
            if not self.is_closed():
                side.engine.handle_expire(None)
                side.engine.handle_timeout_attempt(None)
        for side in self.sides:
            side.engine.close()

    # ------------------------------------------------------------ comparing

    def _same_logs(self) -> None:
        self._same("hooks and observers", *[side.log for side in self.sides])
        for side in self.sides:
            side.log.clear()

    def _same(self, what: str, engine: Any, model: Any) -> None:
        if engine != model:
            raise Divergence(f"{what}: engine {engine!r}, model {model!r}")

    def look(self) -> None:
        """Compare all that can be seen, and check what must hold anyway."""
        engine, model = (seen(side) for side in self.sides)
        self._same_logs()
        for what in engine:
            self._same(what, engine[what], model[what])
        try:
            self.engine.engine._check()
        except AssertionError as error:
            raise Divergence(f"invariant: {error}") from None
        self._check_books(engine)
        if self.foreign is not None:
            self._check_foreign(engine)

    def _check_books(self, engine: dict[str, Any]) -> None:
        """Every job that came in is in, or has gone by a way that is counted."""
        stats = engine["stats"]
        states = [state for state, *_ in engine["records"].values()]
        unprocessed = sum(state.name in ("NEW", "PENDING", "LEASED") for state in states)
        came = stats.added + stats.kicked + self.engine.by_hand
        went = stats.completed + stats.failed + stats.evicted_jobs + self.engine.lost
        if not self.engine.runs_ended():
            self._same("books: came in, went and are there", came, went + unprocessed)
        self._same("books: records", stats.records, len(states))
        self._same("books: running", stats.running, sum(s.name == "LEASED" for s in states))
        self._same("books: ready", stats.ready, sum(map(len, engine["ready"].values())))
        self._same("books: scheduled", stats.scheduled, sum(map(len, engine["scheduled"].values())))

    def _check_foreign(self, engine: dict[str, Any]) -> None:
        """The foreign queues hold what is ready, in its order."""
        for name, ready in engine["ready"].items():
            held = self.foreign.queue(name).ready_jobs()
            self._same(f"foreign queue {name}", [job.id for job in held], ready)


def seen(side: Side) -> dict[str, Any]:
    """All that can be seen of one side."""
    with side.listening():
        found = view_of(side.engine)
        names = side.engine.names()
        found["dead"] = {name: side.plain(side.engine.dead(name)) for name in names}
    return found


# ---------------------------------------------------------------- runs


def steps_from(rng: Random, world: World) -> Iterator[Step]:
    """Random steps. Each episode prefers other verbs, so that rare ones meet (swarm testing)."""
    draw = Draw(rng, world)
    foreign = world.setting.foreign
    verbs = {name: verb for name, verb in VERBS.items() if not (foreign and verb.native)}
    weights = [verb.weight * rng.choice((0.1, 1, 1, 3)) for verb in verbs.values()]
    names = list(verbs)
    for number in count(1):
        if number % LOOK_EVERY == 0:
            yield LOOK
        elif number % STATS_EVERY == 0:
            yield Step("stats")
        if len(world.model.engine.registry) > CROWD:
            yield Step("(the clock moves far)", {"ms": 10_000})
        name = rng.choices(names, weights)[0]
        yield Step(name, VERBS[name].draw(draw))


def run(rng: Random, setting: Setting, steps: int) -> World:
    """One episode. Raises Divergence, whose ``world`` knows the steps up to it."""
    world = World(setting)
    try:
        for step in steps_from(rng, world):
            if len(world.steps) >= steps or world.is_closed():
                break
            world.take(step)
        world.finish()
    except Divergence as error:
        error.world = world
        raise
    return world


def replay(setting: Setting, steps: Sequence[Step]) -> str | None:
    """Take these steps: what differs, if anything does."""
    world = World(setting)
    try:
        for step in steps:
            world.take(step)
        world.finish()
    except Divergence as error:
        return str(error)
    return None
