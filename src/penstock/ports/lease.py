"""Budget that several gateways share: each spends only what it has leased."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claim:
    """What a gateway says of one limit.

    `spent` is all that it ever used of it since it first spoke of it, `recent` that of the last minute. It holds `held`
    of what it was granted, reserved or at hand, and wants `want` more. `last`: it will not speak of it again.
    """

    key: str
    limit: int
    spent: int
    recent: int
    held: int
    want: int
    last: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What it may hold beside what it holds; `left` is what nobody has. More is there in `wait_s` seconds or later."""

    granted: int
    left: int
    wait_s: float


class Leases(Protocol):
    """The common budget.

    Contract. For every limit, what was used in the last 60 seconds as far as it was told, and what all gateways hold,
    never exceeds the limit by a grant. A claim replaces what its gateway held before. What a gateway holds stays its
    own until it says otherwise or was silent for `life_s` seconds, which is longer than it may use it. A budget that
    has lost its memory grants nothing until it must know all that matters again.
    """

    @property
    def gateway(self) -> str:
        """The name under which this gateway claims; no two have the same."""
        ...

    async def trade(self, claims: Sequence[Claim]) -> Sequence[Grant]:
        """One grant for each claim, in their order; raises Temporary if the budget cannot be reached.

        A claim whose answer was lost may be made again: nothing is counted twice.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
