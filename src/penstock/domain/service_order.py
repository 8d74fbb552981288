"""In which order flows are served: by deadline in the real-time lane, by start tags where time is lent.

Heaps hold flows, not requests, so that an order costs the same however much waits. An entry is good while it has its
flow's newest edition; older ones are dropped when they come up.
"""

import heapq
from collections.abc import Callable

from penstock.domain.tenancy import Flow, Lane, Priority

_Entry = tuple[float, int, Flow]
_Heaps = dict[str, list[_Entry]]


class ServiceOrder:
    """The flows that wait, by model. Each class has a virtual time of its own."""

    def __init__(self) -> None:
        self._links: dict[Priority, _Heaps] = {one: {} for one in Priority}
        self._eligible: _Heaps = {}
        self._due: _Heaps = {}
        self._virtual = dict.fromkeys(Priority, 0.0)
        self._edition = 0

    def join(self, flow: Flow, now: float) -> None:
        """A flow begins to wait: no credit for the time when it did not."""
        flow.start = max(flow.start, self._virtual[flow.priority])
        self.push(flow, now)

    def push(self, flow: Flow, now: float) -> None:
        """Enters a flow's head, in place of an older entry; only takes that away if the flow does not wait any more."""
        head = flow.head()
        self._edition += 1
        flow.edition = self._edition
        if head is None:
            return
        tenant = flow.tenant
        heapq.heappush(self._links[flow.priority].setdefault(tenant.model, []), (flow.start, self._edition, flow))
        if flow.priority is Priority.RESERVED and tenant.share > 0:
            tenant.fill(now)
            missing = min(head.charged, tenant.depth) - tenant.service
            at = now + missing / tenant.share if missing > 0 else now
            heapq.heappush(self._eligible.setdefault(tenant.model, []), (at, self._edition, flow))

    def due(self, now: float, has_room: Callable[[Flow], bool]) -> Flow | None:
        """Of the flows below their rate that there is room for, the one with the earliest deadline.

        By deadline, not by the time they became eligible: many small endpoints would hold the lane.
        """
        best: _Entry | None = None
        for model, eligible in self._eligible.items():
            due = self._due.setdefault(model, [])
            top = _top(eligible)
            while top is not None and top[0] <= now:
                heapq.heappop(eligible)
                flow = top[2]
                deadline = top[0] + flow.queue[0].charged / flow.tenant.share
                heapq.heappush(due, (deadline, top[1], flow))
                top = _top(eligible)
            top = _top(due)
            if top is not None and (best is None or top < best) and has_room(top[2]):
                best = top
        return best[2] if best is not None else None

    def next(self, has_room: Callable[[Flow], bool]) -> Flow | None:
        """In the highest class that waits, the flow with the smallest tag that there is room for."""
        for heaps in self._links.values():
            tops = [top for heap in heaps.values() if (top := _top(heap)) is not None]
            if not tops:
                continue
            tops.sort()
            for tag, _, flow in tops:
                # One model may not run away from another that has no room: the operating system would halve the device.
                if tag > tops[0][0] + flow.tenant.terms.residence_s:
                    return None
                if has_room(flow):
                    return flow
            return None
        return None

    def served(self, flow: Flow, seconds: float, lane: Lane) -> None:
        """A flow's head was sent: its tag moves on, and virtual time follows the smallest tag that waits.

        A request in the real-time lane must not drag virtual time forward.
        """
        tag = flow.start
        if lane is Lane.GUARANTEED:
            heaps = self._links[flow.priority].values()
            tag = min([tag, *(top[0] for heap in heaps if (top := _top(heap)) is not None)])
        self._virtual[flow.priority] = max(self._virtual[flow.priority], tag)
        flow.start += seconds / flow.weight

    def eligible_times(self) -> list[float]:
        """When the first flow of each model becomes due."""
        return [top[0] for heap in self._eligible.values() if (top := _top(heap)) is not None]

    def is_past(self, flow: Flow) -> bool:
        """Whether forgetting the flow's tag gives it nothing."""
        return flow.start <= self._virtual[flow.priority]


def _top(heap: list[_Entry]) -> _Entry | None:
    while heap:
        top = heap[0]
        if top[1] == top[2].edition:
            return top
        heapq.heappop(heap)
    return None
