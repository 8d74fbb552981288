"""The floors of the house, and what importing it costs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "mlflow", "openvino", "sqlalchemy", "fastapi")


def test_import_contracts_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_importing_penstock_starts_nothing_and_stays_light():
    code = (
        "import sys, threading; import penstock; "
        f"assert not [name for name in {HEAVY!r} if name in sys.modules]; "
        "assert threading.active_count() == 1; print(len(sys.modules))"
    )
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(len(sys.modules))"], capture_output=True, check=True
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) - int(bare.stdout) < 30  # modules, not seconds: a busy machine must not fail this
