"""Draws bench/out/engine.json as engine.png; runs in the bench's environment, which has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {"penstock": "#1a6fb0", "genai": "#b9b9b9"}
NAMES = {"penstock": "Penstock", "genai": "OpenVINO GenAI"}
COUNTS = [1, 4, 8, 16]


def main(folder: str) -> None:
    path = Path(folder) / "engine.json"
    if not path.exists():
        sys.exit("no engine.json to draw: partial runs have none")
    values = json.loads(path.read_text(encoding="utf-8"))
    figure, axes = plt.subplots(1, 5, figsize=(17, 3.6), layout="constrained")
    configurations = [f"{model}_{precision}" for model in ("32m", "1b") for precision in ("int8", "bf16")]
    for axis, name in zip(axes, configurations, strict=False):
        bars = {side: [values[f"{side}_{name}_c{n}_tokens_per_s"] for n in COUNTS] for side in COLOURS}
        _draw(axis, bars, [str(n) for n in COUNTS])
        axis.set(title=f"{name.replace('_', ', ')}: tokens/s", xlabel="requests at once")
    memory = {side: [values[f"{side}_{name}_rss_mb"] / 1024 for name in configurations] for side in COLOURS}
    _draw(axes[4], memory, [name.replace("_", "\n") for name in configurations])
    axes[4].set(title="peak memory, GiB")
    axes[0].legend()
    figure.suptitle("2,048 tokens in, 256 out: prompts and answers together")
    figure.savefig(Path(folder) / "engine.png", dpi=120)


def _draw(axis: plt.Axes, bars: dict[str, list[float]], labels: list[str]) -> None:
    for number, (side, heights) in enumerate(bars.items()):
        places = [place + 0.4 * number - 0.2 for place in range(len(heights))]
        axis.bar(places, heights, 0.38, color=COLOURS[side], label=NAMES[side])
    axis.set_xticks(range(len(labels)), labels)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(*sys.argv[1:])
