"""What the members of the Llama family take for granted: the reference classes' defaults and settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One model_type. Everything here is for configurations that do not say."""

    context: int
    keys: int = 0
    """Key heads; 0: as many as query heads."""
    theta: float = 10_000.0
    epsilon: float = 1e-6
    biases: bool = False
    """Whether attention_bias and mlp_bias mean something."""
    input_biases: bool = False
    """Whether queries, keys and values have biases always."""
    experts: bool = False
    windows: bool = False
    """Whether sliding_window means something; null means none."""
    window: int = 0
    optional_window: bool = False
    """Whether sliding_window counts only where use_sliding_window says so."""


MEMBERS = {
    "llama": Member(context=2048, biases=True),
    "mistral": Member(context=131_072, keys=8, windows=True, window=4096),
    "mixtral": Member(context=131_072, keys=8, theta=1e6, epsilon=1e-5, experts=True, windows=True),
    "qwen2": Member(context=32_768, keys=32, input_biases=True, optional_window=True),
}
