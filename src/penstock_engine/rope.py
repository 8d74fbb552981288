"""Rotary position embeddings: inverse frequencies of each kind of scaling, as the reference implementation has them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.errors import UnsupportedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from penstock_engine.config import Config

DEFAULT_THETA = 10_000.0
BETA_FAST, BETA_SLOW = 32.0, 1.0
"""Rotations within the original context, beyond which yarn keeps, and below which it stretches a frequency."""


@dataclass(frozen=True, slots=True)
class Rope:
    """inverse_frequencies [head_dim / 2]; factor multiplies cosine and sine (yarn's attention temperature)."""

    inverse_frequencies: NDArray[np.float64]
    factor: float = 1.0


def plain_rope(theta: float, head_dim: int) -> Rope:
    """Without any scaling."""
    return Rope(1.0 / theta ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim))


def ntk_rope(theta: float, head_dim: int, factor: float, mixed: float | None) -> Rope:
    """GTE's scaling, the same at every length: a larger base and slower rotations, or slower ones by their number.

    mixed: the exponent of the second kind, None for the first.
    """
    if mixed is None:
        scaled = plain_rope(theta * factor, head_dim).inverse_frequencies
        return Rope(scaled / factor ** (2.0 / head_dim))
    half = head_dim // 2
    slower = np.exp(math.log(factor) * (np.arange(1, half + 1) / half) ** mixed)
    return Rope(plain_rope(theta, head_dim).inverse_frequencies / slower)


def scaling_of(config: Config) -> Config | None:
    """What the configuration says of scaling: `rope_parameters` (transformers 5) or `rope_scaling` (4)."""
    return config.part("rope_parameters") or config.part("rope_scaling")


def kind_of(scaling: Config | None) -> str:
    """The kind of scaling; `default` is none."""
    return "default" if scaling is None else scaling.text("rope_type", scaling.text("type", "default"))


def theta_of(config: Config, default: float = DEFAULT_THETA) -> float:
    """The base, from `rope_parameters` or `rope_theta`."""
    theta = config.number("rope_theta", default)
    new = config.part("rope_parameters")
    return theta if new is None else new.number("rope_theta", theta)


def read_rope(config: Config, head_dim: int, default_theta: float = DEFAULT_THETA) -> Rope:
    """Raises UnsupportedModel on a kind of scaling that this engine does not compute."""
    scaling, theta = scaling_of(config), theta_of(config, default_theta)
    for each in (config, scaling):
        if each is not None and each.number("partial_rotary_factor", 1.0) != 1.0:
            raise UnsupportedModel("partial_rotary_factor other than 1 is not supported")
    plain = plain_rope(theta, head_dim).inverse_frequencies
    kind = kind_of(scaling)
    # dynamic: stretches the positions only of what is longer than the context, which is never computed here
    if scaling is None or kind in {"default", "dynamic"}:
        return Rope(plain)
    original = config.integer("original_max_position_embeddings", config.integer("max_position_embeddings", 2048))
    if kind == "linear":
        return Rope(plain / scaling.number("factor"))
    if kind == "llama3":
        return Rope(_llama3(plain, scaling, original))
    if kind == "yarn":
        return _yarn(plain, scaling, theta, original)
    raise UnsupportedModel(
        f"rope type {kind!r:.60} is not supported: only default, linear, dynamic, llama3 and yarn are"
    )


def _llama3(plain: NDArray[np.float64], scaling: Config, original: int) -> NDArray[np.float64]:
    factor, low, high = (scaling.number(name) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    if low >= high:
        raise UnsupportedModel("rope llama3: low_freq_factor must be less than high_freq_factor")
    original = scaling.integer("original_max_position_embeddings", original)
    lengths = 2 * math.pi / plain
    smooth = (original / lengths - low) / (high - low)
    between = (1 - smooth) * plain / factor + smooth * plain
    stretched = np.where(lengths > original / low, plain / factor, between)
    return np.where(lengths < original / high, plain, stretched)


def _yarn(plain: NDArray[np.float64], scaling: Config, theta: float, original: int) -> Rope:
    original = scaling.integer("original_max_position_embeddings", original)
    factor = scaling.number("factor")
    half = plain.size
    low, high = (
        half * math.log(original / (rotations * 2 * math.pi)) / math.log(theta)
        for rotations in (scaling.number("beta_fast", BETA_FAST), scaling.number("beta_slow", BETA_SLOW))
    )
    if scaling.flag("truncate", default=True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * half - 1)
    stretch = np.clip((np.arange(half) - low) / (high - low or 1e-3), 0, 1)
    return Rope(plain / factor * stretch + plain * (1 - stretch), _yarn_temperature(scaling, factor))


def _yarn_temperature(scaling: Config, factor: float) -> float:
    if scaling.has("attention_factor"):
        return scaling.number("attention_factor")
    if scaling.has("mscale") and scaling.has("mscale_all_dim"):
        return _mscale(factor, scaling.number("mscale")) / _mscale(factor, scaling.number("mscale_all_dim"))
    return _mscale(factor, 1.0)


def _mscale(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0
