"""What the gate's decisions cost: microseconds per request with 1, 100 and 1,000 endpoints and 10,000 waiting requests.

A request is timed through its whole life: arrival, the dispatch that follows it, first token, settlement and the
dispatch that follows that, and the next time to wake. The garbage collector runs as it does in the server.
"""

import argparse
import json
import random
import time
import tracemalloc
from collections import deque
from pathlib import Path

from penstock.domain.fairness import Admitted, Arbiter, Grant
from penstock.domain.profile import CostModel
from penstock.domain.tenancy import Terms

OUT = Path(__file__).parent / "out" / "gate.json"
COST = CostModel(c=0.0086, a=7.45e-5, e=1.3e-8, b=2.56e-4, d=6.0e-7)
TERMS = Terms(2304 / COST.seconds(2048, 256), 8, COST, fixed_s=0.0005)
SOLD = 0.9
LONG_AGO = -1e6
"""Tenants are added then, and their buckets do not matter: what fills the queue is far above any allotment."""
TARGET_US, TARGET_P99_US = 20.0, 100.0


class Stand:
    """A saturated device: as many requests in flight as it takes, and always `waiting` more behind them."""

    def __init__(self, endpoints: int, waiting: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.arbiter = Arbiter()
        self.now = 0.0
        self.count = 0
        self.flying: deque[tuple[str, int, int]] = deque()
        self.shapes: dict[str, tuple[int, int]] = {}
        self.keys = [f"endpoint-{k}" for k in range(endpoints)]
        for key in self.keys:
            self.arbiter.set_tenant(key, "model", TERMS, SOLD / endpoints, LONG_AGO)
        # The queue's own bound is not what is measured here: nothing is refused.
        self.arbiter._is_full = lambda *_: False  # type: ignore[method-assign]  # noqa: SLF001
        for _ in range(waiting):
            self.arrive()
        self.dispatch()

    def draw(self) -> tuple[str, str, int]:
        tokens_in, tokens_out = self.random.randrange(100, 3000), self.random.randrange(10, 300)
        self.count += 1
        request_id = f"request-{self.count}"
        self.shapes[request_id] = (tokens_in, tokens_out)
        return request_id, self.random.choice(self.keys), tokens_in

    def arrive(self) -> None:
        request_id, key, tokens_in = self.draw()
        assert isinstance(self.arbiter.arrive(request_id, key, tokens_in, 4096, self.now), Admitted)

    def sent(self, grants: list[Grant]) -> None:
        for grant in grants:
            self.flying.append((grant.request_id, *self.shapes.pop(grant.request_id)))

    def dispatch(self) -> None:
        self.sent(self.arbiter.dispatch(self.now))

    def life(self) -> float:
        """One request leaves and one comes; returns the seconds that the gate took."""
        arbiter, (request_id, tokens_in, tokens_out), next_one = self.arbiter, self.flying.popleft(), self.draw()
        self.now = now = self.now + COST.seconds(tokens_in, tokens_out)
        began = time.perf_counter()
        arbiter.first(request_id, now)
        arbiter.settle(request_id, tokens_in, tokens_out, now)
        first = arbiter.dispatch(now)
        arbiter.wake(now)
        arbiter.arrive(*next_one, 4096, now)
        second = arbiter.dispatch(now)
        arbiter.wake(now)
        taken = time.perf_counter() - began
        self.sent([*first, *second])
        return taken


def measure(endpoints: int, waiting: int, lives: int) -> tuple[float, float]:
    """Median and 99th percentile of microseconds per request."""
    stand = Stand(endpoints, waiting, seed=1)
    for _ in range(lives // 5):
        stand.life()
    taken = sorted(stand.life() * 1e6 for _ in range(lives))
    return taken[lives // 2], taken[lives * 99 // 100]


def memory(waiting: int) -> float:
    """Bytes that a waiting request holds, what the bench itself keeps of it not counted."""
    stand = Stand(100, 100, seed=2)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(waiting):
        stand.arrive()
    stand.shapes.clear()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / waiting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--lives", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    found: dict[str, float] = {}
    for endpoints in (1, 100, 1000):
        median, late = measure(endpoints, arguments.waiting, arguments.lives)
        found[f"gate_us_{endpoints}"] = round(median, 2)
        found[f"gate_us_{endpoints}_p99"] = round(late, 2)
        kept = "" if median <= TARGET_US and late <= TARGET_P99_US else "  above the aim"
        print(f"{endpoints:5d} endpoints: median {median:6.1f} us, p99 {late:6.1f} us{kept}")
    found["bytes_per_waiting"] = round(memory(arguments.waiting))
    print(f"a waiting request holds {found['bytes_per_waiting']:,.0f} bytes")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
