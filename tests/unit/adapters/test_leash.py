"""What a program that has failed is said to have failed of."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from penstock.adapters.engines import leash

CORE = "(EngineCore_DP0 pid=7) ERROR 11-21 22:50:01 [core.py:946] "
REFUSED = "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
LAST = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("loading\nall is well\n", ""),
        ("Traceback\nModuleNotFoundError: No module named 'vllm'\n", "ModuleNotFoundError: No module named 'vllm'"),
        (
            f"{CORE}torch.OutOfMemoryError: CUDA out of memory, of 2 GiB\n{CORE}end\n{LAST}",
            "torch.OutOfMemoryError: CUDA out of memory, of 2 GiB",
        ),
        ("RuntimeError: Engine core initialization failed. See root cause above.\n",
         "RuntimeError: Engine core initialization failed. See root cause above."),
        ("ValueError: first\nValueError: then\n", "ValueError: then"),
        (f"{REFUSED}  Value error, X was supported until v0.28.0 [type=value_error, input_value=ArgsKwargs(())]\n",
         "ValueError: X was supported until v0.28.0"),
        ("  Value error, of nothing\n", ""),
    ],
)  # fmt: skip
def test_the_error_that_says_most_is_the_reason(log, why):
    assert leash.reason(log) == why


def run(tmp_path, *command):
    log = tmp_path / "log"
    with log.open("ab") as out, subprocess.Popen(
        (sys.executable, "-I", leash.__file__, *command), stdin=subprocess.PIPE, stdout=out, stderr=out,
        start_new_session=True,
    ) as program:  # fmt: skip
        status = program.wait(60)
        program.stdin.close()
    return status, log.read_text()


def test_status_and_reason_come_through_and_only_of_this_run(tmp_path):
    (tmp_path / "log").write_text("KeyError: of yesterday\n")
    assert run(tmp_path, "/bin/sh", "-c", "exit 3") == (3, "KeyError: of yesterday\n")
    status, said = run(tmp_path, "/bin/sh", "-c", "echo 'ValueError: too small'; echo 'the end'; exit 1")
    assert status == 1
    assert said.endswith("the end\nValueError: too small\n")
    status, said = run(tmp_path, "/bin/sh", "-c", "echo 'RuntimeError: a worker died'; echo 'in good order'")
    assert status == 0
    assert said.endswith("in good order\nRuntimeError: a worker died\n")
    assert run(tmp_path, "/bin/sh", "-c", "kill -9 $$")[0] == 128 + 9
    assert run(tmp_path, str(tmp_path / "nothing"))[0] == 127


ASKED_AT_ONCE = """
import signal, subprocess, sys
from penstock.adapters.engines import leash

start = subprocess.Popen

def started(*command, **how):
    program = start(*command, **how)
    print(program.pid, flush=True)
    signal.raise_signal(signal.SIGTERM)
    return program

subprocess.Popen = started
sys.exit(leash.main(["/bin/sleep", "600"]))
"""


def test_a_program_that_is_not_wanted_while_it_is_started_is_not_left_behind():
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen((sys.executable, "-c", ASKED_AT_ONCE), **how) as program:
        try:
            assert program.wait(60) == 128 + signal.SIGTERM
            with pytest.raises(ProcessLookupError):
                os.kill(int(program.stdout.readline()), 0)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
