"""Secrets that are planted, and the search for them in whatever came out, in whatever form."""

import asyncio
import base64
import traceback
import urllib.parse

from penstock.adapters.telemetry.otlp import Otlp, Target
from penstock.testing.collector import METRICS, TRACES, Collector

# No two share a piece of eight characters, and none is of a kind that the log's filter knows.
NEEDLES = (
    "pelican-7f3a-QUARTZ",
    "walnut-22c1-ZEPHYR",
    "lantern-9e0b-MOSAIC",
    "b1ndle-FJORD-4d58",
    "gr0tto-5a6e-VELVET",
)
STRING, BYTES, PLANTED, WRONG, MASTER = NEEDLES


def forms(needle):
    """How a secret would look if it got somewhere: as it is, encoded, or a piece of it."""
    plain = needle.encode()
    yield from (plain, plain.hex().encode(), base64.b64encode(plain).rstrip(b"="), urllib.parse.quote(needle).encode())
    yield from (base64.b64encode(b"x" * shift + plain)[4:-4] for shift in (1, 2))
    yield from (plain[at : at + 8] for at in range(len(plain) - 7))


def found_in(text):
    """The needles that are in it, in whatever form."""
    content = text if isinstance(text, bytes) else text.encode(errors="replace")
    return {needle for needle in NEEDLES if any(form in content for form in forms(needle))}


class Seen:
    """What came out: answers and errors."""

    def __init__(self):
        self.texts = []

    def answer(self, answer):
        self.texts.append(answer.text + str(dict(answer.headers)))
        return answer

    def error(self, error):
        self.texts += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
        link = error
        while link := link.__cause__ or link.__context__:
            self.texts += [repr(link), repr(vars(link)), repr(getattr(link, "object", None))]


async def exported(telemetry):
    """What a collector gets of all that was told, as it comes over the wire."""
    collector = Collector()
    try:
        otlp = Otlp(Target(collector.url + TRACES, collector.url + METRICS), "1", "42")
        for one in telemetry.requests:
            otlp.request(one)
        for one in telemetry.calls:
            otlp.call(one)
        await asyncio.to_thread(otlp.close)
    finally:
        collector.close()
    assert collector.got[TRACES]
    return collector.bodies
