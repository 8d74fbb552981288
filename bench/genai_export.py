"""Exports a model for OpenVINO GenAI with optimum-intel; runs in the bench's environment.

int8 is what its command line gives by default: asymmetric, per channel. bf16 keeps the checkpoint's own values, which
the command line cannot say: its fp16 would convert them, and its default is int8 above a billion parameters.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TASK = "text-generation-with-past"


def main(model: str, precision: str, output: str) -> None:
    if precision == "int8":
        tool = Path(sys.executable).with_name("optimum-cli")
        options = ["--task", TASK, "--weight-format", "int8", "--model", model, output]
        subprocess.run([str(tool), "export", "openvino", *options], check=True)
        return
    from optimum.exporters.openvino import main_export
    from optimum.intel import OVConfig

    main_export(model, output, task=TASK, ov_config=OVConfig(dtype="bf16"), library_name="transformers")


if __name__ == "__main__":
    main(*sys.argv[1:])
