"""Runs a decoder's graph: the sequences of a step side by side, each with its own past in the paged KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from operator import gt
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov

from penstock_engine.attention import KEY_CACHE, VALUE_CACHE
from penstock_engine.deltas import DOWN, UP, Stack, stack
from penstock_engine.errors import EngineError
from penstock_engine.pages import zeros

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from penstock_engine.adapter import Adapter
    from penstock_engine.architectures.plan import Plan
    from penstock_engine.kernels import Compiled
    from penstock_engine.work import Work


@dataclass(frozen=True, slots=True)
class _Inputs:
    """A step's inputs in the graph's terms; T new tokens of B sequences, R rows of logits."""

    input_ids: NDArray[np.int64]
    position_ids: NDArray[np.int32]
    past_lens: NDArray[np.int32]
    subsequence_begins: NDArray[np.int32]
    block_indices: NDArray[np.int32]
    block_indices_begins: NDArray[np.int32]
    max_context_len: NDArray[np.int32]
    logit_rows: NDArray[np.int32]
    adapter_shares: NDArray[np.float32]


class PagedDecoder:
    """A compiled decoder with its KV cache. Implements `work.Decoder`."""

    def __init__(self, compiled: Compiled, plan: Plan, kv_bytes: int, keep: object, *, room: int = 0) -> None:
        """kv_bytes: for the whole cache. keep: memory that the graph's constants are in. room: see `deltas.stack`.

        Raises EngineError if the cache would have no block.
        """
        self.vocab_size = plan.width
        self.context_length = plan.context
        self._compiled = compiled
        self._keep = keep
        self._request = compiled.create_infer_request()
        self._fed: dict[str, NDArray[np.generic]] = {}
        asked = {port.get_any_name() for port in compiled.inputs}
        self._names = [name for name in _Inputs.__slots__ if name in asked]  # ALiBi knows no positions
        caches = {
            name: port for port in compiled.inputs if (name := port.get_any_name()).startswith((KEY_CACHE, VALUE_CACHE))
        }
        if not caches:
            raise EngineError("the compiled graph has no KV cache")
        shapes = {
            name: [each.get_length() if each.is_static else 0 for each in port.get_partial_shape()]
            for name, port in caches.items()
        }
        self.block_size: int = next(iter(shapes.values()))[2]
        self.block_bytes = sum(
            int(np.prod(shapes[name][1:])) * port.get_element_type().size for name, port in caches.items()
        )
        """Bytes of one block in all layers."""
        self.num_blocks = kv_bytes // self.block_bytes
        if self.num_blocks < 1:
            raise EngineError(f"{kv_bytes} bytes of KV cache hold no block of {self.block_bytes} bytes")
        self._memory = {  # kept: the tensors read and write it
            name: zeros(self.num_blocks * int(np.prod(shapes[name][1:])) * port.get_element_type().size)
            for name, port in caches.items()
        }
        self._caches = {
            name: ov.Tensor(self._memory[name], [self.num_blocks, *shapes[name][1:]], port.get_element_type())
            for name, port in caches.items()
        }
        for name, tensor in self._caches.items():
            self._request.set_tensor(name, tensor)
        self._adaptable = _adaptable(compiled)
        self._room = room
        self._stack = self.stack(())
        self.use(self._stack)

    @property
    def adaptable(self) -> bool:
        """Whether there is room for adapters."""
        return bool(self._adaptable)

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """The adapters that sequences can be computed with, by name."""
        return self._stack.adapters

    def stack(self, adapters: Iterable[Adapter]) -> Stack:
        """What `use` takes; changes nothing, and is safe while steps are computed.

        Raises UnsupportedModel or CheckpointError if one of them does not fit the model.
        """
        return stack(list(adapters), self._adaptable, self._room)

    def use(self, made: Stack) -> Stack:
        """From the next step on there are these adapters, and no others; returns those that there were.

        Nothing is compiled.
        """
        before, self._stack = self._stack, made
        for name, array in made.arrays.items():
            self._request.set_tensor(name, ov.Tensor(array, shared_memory=True))
        return before

    def step(self, work: Sequence[Work]) -> NDArray[np.float32]:
        """See `work.Decoder.step`."""
        inputs = self._inputs(work)
        for name in self._names:
            self._feed(name, getattr(inputs, name))
        self._request.infer()  # other threads run meanwhile
        logits: NDArray[np.float32] = self._request.get_tensor("logits").data
        return logits

    def _feed(self, name: str, values: NDArray[np.generic]) -> None:
        """One step of decodes is like the one before: to write over its inputs is cheaper than to give new ones."""
        fed = self._fed.get(name)
        if fed is not None and fed.shape == values.shape:
            fed[...] = values
        else:
            self._fed[name] = values  # kept: the request reads this memory
            self._request.set_tensor(name, ov.Tensor(values, shared_memory=True))

    def _inputs(self, work: Sequence[Work]) -> _Inputs:
        if not work:
            raise ValueError("a step needs work")
        past = [each.past for each in work]
        lengths = [each.tokens.size for each in work]
        rows = [each.rows for each in work]
        longs = [before + new for before, new in zip(past, lengths, strict=True)]
        self._check_sizes(past, lengths, rows, longs)
        if unknown := {each.adapter for each in work} - {"", *self._stack.rows}:
            raise ValueError(f"there is no adapter {min(unknown)!r:.100}")
        blocks = [-(-each // self.block_size) for each in longs]
        begins = list(accumulate(lengths, initial=0))
        tokens = np.concatenate([each.tokens for each in work])
        table = np.concatenate([each.blocks[:needed] for each, needed in zip(work, blocks, strict=True)])
        positions = past
        if begins[-1] > len(work):
            positions = [place for before, end in zip(past, longs, strict=True) for place in range(before, end)]
        wanted = [row for end, count in zip(begins[1:], rows, strict=True) for row in range(end - count, end)]
        inputs = _Inputs(
            input_ids=tokens.astype(np.int64, copy=False),
            position_ids=np.array(positions, np.int32),
            past_lens=np.array(past, np.int32),
            subsequence_begins=np.array(begins, np.int32),
            block_indices=table.astype(np.int32, copy=False),
            block_indices_begins=np.array([0, *accumulate(blocks)], np.int32),
            max_context_len=np.array(max(longs), np.int32),
            logit_rows=np.array(wanted, np.int32),
            adapter_shares=self._stack.shares([each.adapter for each in work], lengths),
        )
        self._check_numbers(inputs)
        return inputs

    def _check_sizes(self, past: list[int], lengths: list[int], rows: list[int], longs: list[int]) -> None:
        """The kernels check nothing: a wrong number would be read outside of memory."""
        if min(past) < 0 or min(lengths) < 1 or min(rows) < 0 or any(map(gt, rows, lengths)):
            raise ValueError("past and rows must be 0 or more, tokens 1 or more, rows no more than tokens")
        if max(longs) > self.context_length:
            raise ValueError(f"a sequence is longer than the context of {self.context_length} tokens")

    def _check_numbers(self, inputs: _Inputs) -> None:
        tokens, table = inputs.input_ids, inputs.block_indices
        if table.size != inputs.block_indices_begins[-1]:
            raise ValueError("a block table does not cover its tokens")
        if table.min() < 0 or table.max() >= self.num_blocks:
            raise ValueError(f"a block number is not between 0 and {self.num_blocks - 1}")
        if tokens.min() < 0 or tokens.max() >= self.vocab_size:
            raise ValueError(f"a token id is not between 0 and {self.vocab_size - 1}")


def _adaptable(compiled: Compiled) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of the layers that adapters may change, by name."""
    sides = {port.get_any_name(): port.get_partial_shape() for port in compiled.inputs}
    return {
        name.removeprefix(DOWN): (shape[1].get_length(), sides[UP + name.removeprefix(DOWN)][0].get_length())
        for name, shape in sides.items()
        if name.startswith(DOWN)
    }
