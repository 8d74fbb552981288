"""Programs that are run for what they print."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from dataclasses import dataclass

ERRORS = 2000
"""Characters that are kept of what a program complains of, the last ones."""


@dataclass(frozen=True, slots=True)
class Printed:
    """How a program ended (0: well), and what it printed until then."""

    status: int
    out: str
    errors: str


async def ask_program(*command: str, environment: Mapping[str, str], within_s: float) -> Printed:
    """Runs it with these variables and no others, and without input.

    Raises OSError if it cannot be run, TimeoutError if it has not ended in time: it is killed then, as it is when
    whoever asked is cancelled.
    """
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment)
    try:
        out, errors = await asyncio.wait_for(process.communicate(), within_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Printed(process.returncode, out.decode(errors="replace"), errors.decode(errors="replace")[-ERRORS:])
