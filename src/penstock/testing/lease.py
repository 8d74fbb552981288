"""The common budget of several gateways, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import Temporary
from penstock.domain.rate_window import WINDOW_S, Window
from penstock.ports.clock import Clock
from penstock.ports.lease import Claim, Grant


@dataclass
class _Budget:
    window: Window
    held: dict[str, tuple[int, float]] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)


@dataclass
class FakeBudgets:
    """What the gateways have in common. `life_s` is for how long what one holds counts after it was last heard."""

    clock: Clock
    life_s: float = 690.0
    budgets: dict[str, _Budget] = field(default_factory=dict)


class FakeLeases:
    """See `penstock.ports.lease.Leases`. While `down` nothing is reached; with `deaf`, answers are lost."""

    def __init__(self, common: FakeBudgets, gateway: str) -> None:
        self._common = common
        self._gateway = gateway
        self.down = False
        self.deaf = False

    @property
    def gateway(self) -> str:
        """Its name."""
        return self._gateway

    async def trade(self, claims: Sequence[Claim]) -> Sequence[Grant]:
        """As the real one does."""
        if self.down:
            raise Temporary("The budget is down.")
        grants = [self.claim(one) for one in claims]
        if self.deaf:
            raise Temporary("The budget did not answer.")
        return grants

    async def close(self) -> None:
        """Nothing."""

    def claim(self, claim: Claim) -> Grant:
        """One claim."""
        now = self._common.clock.monotonic()
        budget = self._common.budgets.setdefault(claim.key, _Budget(Window(claim.limit)))
        budget.window.limit = claim.limit
        for name in [name for name, (_, ends) in budget.held.items() if ends < now]:
            del budget.held[name], budget.told[name]
        told = budget.told.get(self._gateway)
        fresh = claim.recent if told is None else max(claim.spent - told, 0)
        if fresh:
            budget.window.add(fresh, now)
        others = sum(amount for name, (amount, _) in budget.held.items() if name != self._gateway)
        left = budget.window.room(now) - others - claim.held
        granted = max(min(claim.want, left), 0)
        if claim.last and not claim.held + granted:
            budget.held.pop(self._gateway, None)
            budget.told.pop(self._gateway, None)
        else:
            budget.held[self._gateway] = claim.held + granted, now + self._common.life_s
            budget.told[self._gateway] = claim.spent
        wait_s = 0.0 if granted == claim.want else max(budget.window.wait_s(claim.want - granted, now), 0.05)
        return Grant(granted, max(left - granted, 0), min(wait_s, WINDOW_S + 0.25))
