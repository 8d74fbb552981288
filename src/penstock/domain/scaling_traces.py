"""Made-up traffic for replays: reference tokens that arrive in each second, by name, with a given source of chance."""

import math
from collections.abc import Callable

KINDS = ("diurnal", "spikes", "mmpp", "poisson")
DAY_S = 86_400


def generate(kind: str, seconds: int, chunk: float, draw: Callable[[], float]) -> list[float]:
    """Requests of 0.6 chunk-seconds each at a rate of the given kind; `draw` gives numbers in [0, 1).

    diurnal: a day's hill, up to some four chunks. spikes: 0.8 chunks, and spikes of 4 to 10 more for 10 to 60 s. mmpp:
    0.3 to 1.2 chunks and now and then 3 to 7, for minutes. poisson: a steady 1.5 chunks.
    """
    rates = _rates(kind, seconds, draw)
    return [_poisson(rate / 0.6, draw) * 0.6 * chunk for rate in rates]


def _rates(kind: str, seconds: int, draw: Callable[[], float]) -> list[float]:
    """Chunks asked in each second."""
    if kind == "diurnal":
        return [0.3 + 3.5 * math.sin(math.pi * (now % DAY_S) / DAY_S) ** 2 for now in range(seconds)]
    if kind == "spikes":
        return _spikes(seconds, draw)
    if kind == "mmpp":
        return _switching(seconds, draw)
    return [1.5] * seconds


def _spikes(seconds: int, draw: Callable[[], float]) -> list[float]:
    rates = [0.8] * seconds
    for _ in range(seconds // 1800):
        start, height = int(draw() * seconds), 4 + 6 * draw()
        for now in range(start, min(start + 10 + int(50 * draw()), seconds)):
            rates[now] += height
    return rates


def _switching(seconds: int, draw: Callable[[], float]) -> list[float]:
    rates: list[float] = []
    busy = False
    while len(rates) < seconds:
        length = int(-math.log(1 - draw()) * (120 if busy else 600)) + 1
        rates += [3 + 4 * draw() if busy else 0.3 + 0.9 * draw()] * length
        busy = not busy
    return rates[:seconds]


def _poisson(mean: float, draw: Callable[[], float]) -> int:
    """A Poisson number, by Knuth's product; means here are small."""
    limit, count, product = math.exp(-mean), 0, draw()
    while product > limit:
        count += 1
        product *= draw()
    return count
