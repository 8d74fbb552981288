"""What two tenants do to each other: shapes and loads, as parts of what each bought."""

from dataclasses import dataclass

from penstock.load.workload import Ask


@dataclass(frozen=True, slots=True)
class Side:
    """One tenant: it offers `load` times its allotment in requests like `ask`, with gaps of coefficient `cv`.

    It is silent from `quiet[0]` to `quiet[1]`, parts of the run.
    """

    load: float
    ask: Ask
    cv: float = 1.0
    quiet: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`own` is who behaves well, `other` the neighbour. `prefix` is that of its figures."""

    prefix: str
    own: Side
    other: Side


OWN, LONG = Ask(1024, 128), Ask(3500, 64)
SHORT_IN, LONG_IN = Ask(128, 512), Ask(4000, 90)
WRONG = Ask(1024, 200, 3000)

NEIGHBOUR = (
    Scenario("neighbour_", Side(1.3, OWN), Side(10, LONG)),
    Scenario("neighbour_", Side(0.8, OWN), Side(10, LONG)),
)
OTHERS = (
    Scenario("mixed_short_", Side(1.3, SHORT_IN), Side(3, LONG_IN)),
    Scenario("mixed_long_", Side(1.3, LONG_IN), Side(3, SHORT_IN)),
    Scenario("wrong_estimate_", Side(1.3, WRONG), Side(3, Ask(1024, 200))),
    Scenario("bursty_", Side(1.3, OWN, cv=4), Side(3, Ask(2048, 128), cv=4)),
    Scenario("idle_back_", Side(1.3, OWN, quiet=(0.1, 0.25)), Side(10, LONG)),
)
