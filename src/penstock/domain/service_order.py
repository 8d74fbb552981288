"""In which order flows are served: by deadline in the real-time lane, by start tags where time is lent.

Heaps hold flows, not requests, so that an order costs the same however much waits. An entry is good while it has its
flow's newest edition; older ones are dropped when they come up.
"""

import math
from collections.abc import Callable
from heapq import heappop, heappush

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
        self._edition = flow.edition = edition = self._edition + 1
        if head is None:
            return
        tenant, model = flow.tenant, flow.tenant.model
        links = self._links[flow.priority]
        if model not in links:
            links[model] = []
            self._eligible.setdefault(model, [])
            self._due.setdefault(model, [])
        heappush(links[model], (flow.start, edition, flow))
        if tenant.share > 0 and flow.priority is Priority.RESERVED:
            tenant.fill(now)
            seconds, depth = head.charged, tenant.depth
            missing = (min(depth, seconds)) - tenant.service
            heappush(self._eligible[model], (now + missing / tenant.share if missing > 0 else now, edition, flow))

    def due(self, now: float, has_room: Callable[[Flow], bool]) -> Flow | None:
        """Of the flows below their rate that there is room for, the one with the earliest deadline.

        By deadline, not by the time they became eligible: many small endpoints would hold the lane.
        """
        best: _Entry | None = None
        for model, eligible in self._eligible.items():
            due = self._due[model]
            top = _top(eligible) if eligible else None
            while top is not None and top[0] <= now:
                heappop(eligible)
                flow = top[2]
                deadline = top[0] + flow.queue[0].charged / flow.tenant.share
                heappush(due, (deadline, top[1], flow))
                top = _top(eligible)
            top = _top(due) if due else None
            if top is not None and (best is None or top < best) and has_room(top[2]):
                best = top
        return best[2] if best is not None else None

    def next(self, has_room: Callable[[Flow], bool]) -> Flow | None:
        """In the highest class that waits, the flow with the smallest tag that there is room for."""
        for heaps in self._links.values():
            tops = [top for heap in heaps.values() if heap and (top := _top(heap)) is not None]
            if not tops:
                continue
            if len(tops) == 1:
                return tops[0][2] if has_room(tops[0][2]) else None
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
            for heap in self._links[flow.priority].values():
                top = _top(heap)
                if top is not None and top[0] < tag:
                    tag = top[0]
        self._virtual[flow.priority] = max(self._virtual[flow.priority], tag)
        flow.start += seconds / flow.weight

    def next_due(self, now: float) -> float:
        """When the next flow becomes due; infinite if none will."""
        found = math.inf
        for heap in self._eligible.values():
            top = _top(heap)
            if top is not None and now < top[0] < found:
                found = top[0]
        return found

    def forget(self, model: str) -> bool:
        """Drops a model's heaps, unless somebody waits in them."""
        if any(_top(heaps[model]) is not None for heaps in self._links.values() if model in heaps):
            return False
        for heaps in (*self._links.values(), self._eligible, self._due):
            heaps.pop(model, None)
        return True

    def is_past(self, flow: Flow) -> bool:
        """Whether forgetting the flow's tag gives it nothing."""
        return flow.start <= self._virtual[flow.priority]


def _top(heap: list[_Entry]) -> _Entry | None:
    while heap:
        top = heap[0]
        if top[1] == top[2].edition:
            return top
        heappop(heap)
    return None
