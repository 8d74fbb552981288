"""Whether the library's fused 8-bit feed-forward kernel may be used: it is fast, but wrong for some sizes and machines.

Seen with the pinned release: one thread or few inner values end the process or give wrong numbers without a word.
So the kernel is tried once, on made-up weights of the model's sizes and in a process of its own.

usage: python -m penstock_engine.fusion HIDDEN INNER: ends with 0 if the kernel is right for these sizes, 1 if it is not
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import Type
from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.kernels import compile_graph, has_amx, processor, thread_count
from penstock_engine.work import Precision

TILE = 64
"""8-bit numbers in a row of a tile: other sizes are refused by the kernel."""
ROWS = (1, 40)
"""Tokens of the trials: decode and prefill take different ways through the kernel."""
COSINE = 0.99
SCALE = 1 / 1024
TRIAL_SECONDS = 300.0
RIGHT, WRONG = 0, 1


class Fusion:
    """Remembers in a folder what the trials gave on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def allows(self, hidden: int, inner: int) -> bool:
        """Whether the fused kernel computes a feed-forward layer of these sizes rightly, with these threads."""
        if hidden % TILE or inner % TILE or not has_amx():
            return False
        threads = thread_count()
        if threads % 2:  # the kernel gives each pair of threads a part
            return False
        machine = f"{ov.__version__} {processor()} {threads} {hidden} {inner}"
        note = self._folder / hashlib.sha256(machine.encode()).hexdigest()[:40]
        if note.is_file():
            return note.read_text("ascii") == str(RIGHT)
        command = [sys.executable, "-m", "penstock_engine.fusion", str(hidden), str(inner)]
        try:
            code = subprocess.run(command, capture_output=True, timeout=TRIAL_SECONDS, check=False).returncode
        except (OSError, subprocess.TimeoutExpired):
            return False  # says nothing about the kernel: the next load asks again
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False, encoding="ascii") as part:
            part.write(str(code))
        Path(part.name).rename(note)
        return code == RIGHT


def feed_forward(x: graph.Node, gate: graph.Node, up: graph.Node, down: graph.Node) -> graph.Node:
    """X [T, hidden] in the form that the library fuses: three axes, symmetric 8-bit weights, no biases."""
    x = op.unsqueeze(x, graph.i64(1))
    both = op.multiply(graph.silu(graph.linear(x, gate)), graph.linear(x, up))
    return op.squeeze(graph.linear(both, down), graph.i64(1))


def is_right(hidden: int, inner: int) -> bool:
    """Try the kernel against numpy. May end the process."""
    numbers = np.random.default_rng(0)
    shapes = ((inner, hidden), (inner, hidden), (hidden, inner))
    levels = [numbers.integers(-127, 128, shape, np.int8) for shape in shapes]
    held = [graph.shared(array) for array in (*levels, *(np.full((rows, 1), SCALE, np.float32) for rows, _ in shapes))]
    x = graph.parameter("x", [-1, hidden], Type.f32)
    gate, up, down = (graph.scaled(held[part][0], held[part + 3][0]) for part in range(3))
    compiled = compile_graph(graph.model(feed_forward(x, gate, up, down), "y", [x]), Precision.INT8)
    tokens = numbers.normal(0, 4 / np.sqrt(hidden), (max(ROWS), hidden)).astype(np.float32)
    gated, upped = ((tokens @ part.astype(np.float32).T) * np.float32(SCALE) for part in levels[:2])
    expected = (gated / (1 + np.exp(-gated)) * upped) @ levels[2].astype(np.float32).T
    for rows in ROWS:
        found = compiled(tokens[:rows])[0].reshape(rows, hidden)
        products = (found * expected[:rows]).sum(1)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected[:rows], axis=1)
        if not (products >= COSINE * lengths).all() or not lengths.all():  # written so that NaN fails
            return False
    return True


if __name__ == "__main__":
    sys.exit(RIGHT if is_right(int(sys.argv[1]), int(sys.argv[2])) else WRONG)
