"""What is shown while a batch runs: a bar in a terminal, a line now and then elsewhere."""

import asyncio
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from penstock.batch.work import Work
from penstock.domain.batch_estimate import Workload
from penstock.domain.profile import CostModel
from penstock.ports.clock import Clock

EVERY_S = 1.0
PLAIN_EVERY_S = 10.0
# The weight of tokens where the server does not say what they cost: one that is produced takes eight that are read.
PLAIN_COST = CostModel(0.0, 1.0, 0.0, 8.0, 0.0)


class Watching:
    """How far a batch is, and when it will be finished: by the device time of its rows, not by their number."""

    def __init__(self, work: Work, load: Workload, cost: CostModel | None, clock: Clock) -> None:
        self._work = work
        self._load = load
        self._cost = cost or PLAIN_COST
        self._clock = clock
        self._began = clock.monotonic()
        self._done_before = work.done

    def left_s(self) -> float | None:
        """Seconds until the end; None before anything is known."""
        done = self._work.done - self._done_before
        elapsed = self._clock.monotonic() - self._began
        if done <= 0 or not self._work.learned.rows or elapsed <= 0:
            return None
        total = self._load.device_s(self._work.learned, self._cost)
        share = done / self._load.rows
        answered = done - self._work.errors
        if answered > 0 and total > 0:
            mean = self._cost.seconds(self._work.tokens_in / answered, self._work.tokens_out / answered)
            share = min(done * mean / total, 0.999) if done < self._load.rows else 1.0
        return elapsed * (1 - share) / share if share > 0 else None

    def line(self) -> str:
        """Where it stands, in words."""
        work, elapsed = self._work, self._clock.monotonic() - self._began
        rate = (work.tokens_in + work.tokens_out) / elapsed if elapsed > 0 else 0.0
        left = self.left_s()
        parts = [f"{rate:,.0f} tokens/s"]
        if work.errors:
            parts.append(f"{work.errors} errors")
        if work.waiting:
            parts.append(f"{work.waiting} told to wait")
        if left is not None:
            parts.append(f"{duration(left)} left, done at {at(self._clock.now_ms() + int(left * 1000))}")
        return ", ".join(parts)

    async def show(self, console: Console) -> None:
        """Shows it until cancelled."""
        if not console.is_terminal:
            while True:
                await self._clock.sleep(PLAIN_EVERY_S)
                console.print(f"{self._work.done - self._done_before} of {self._load.rows} rows, {self.line()}")
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("rows, {task.description}"))
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=self._load.rows)
            while True:
                bar.update(task, completed=self._work.done - self._done_before, description=self.line())
                await asyncio.sleep(EVERY_S)


def duration(seconds: float) -> str:
    """A time span for people: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004 - seconds of an hour
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def at(epoch_ms: int) -> str:
    """A moment on the local clock."""
    moment = datetime.fromtimestamp(epoch_ms / 1000).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}"
