"""A slow, obvious reference engine: section 4 of the contract in a form that runs.

Everything is a plain dict or list, every choice is `min` or `sorted`, every wait is a poll, and one
re-entrant lock is held throughout. Nothing here is shared with the real engine but the types that
are tested elsewhere: Job, ID, State, RunResult, Stats, Event, Explanation, the errors and the
validators.

Time: TTR, TTL and waits are deadlines on the monotonic clock; scheduled jobs are due by the wall
clock. The clock is moved by hand and calls `fire_due` at each deadline on its way.
Left out: interrupted waits, fork, and use with a clock that runs by itself.
"""

from .controller import ModelController, view_of
from .waits import Adder, Waiter

__all__ = ["Adder", "ModelController", "Waiter", "view_of"]
