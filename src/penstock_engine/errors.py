"""Why a model cannot be opened.

EngineError
├── CheckpointError    the model's files are missing, cut short or not what they claim to be
├── UnsupportedModel   the files are fine, but this engine would not compute the model as its authors meant
└── SelfCheckFailed    the model was built, but gives wrong numbers on this machine
"""

from __future__ import annotations


class EngineError(Exception):
    """A model cannot be opened; the message says why, in words for the person who registered it."""


class CheckpointError(EngineError):
    """The model's files are missing, cut short or not what they claim to be."""


class UnsupportedModel(EngineError):
    """This engine would not compute the model as its authors meant."""


class SelfCheckFailed(EngineError):
    """The model was built, but gives wrong numbers on this machine."""
