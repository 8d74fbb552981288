"""KV blocks: who holds which, and which still hold a prefix that a new sequence may take over."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

ROOT = b""
"""The digest before the first block of a sequence."""


class OutOfBlocksError(Exception):
    """More blocks were asked for than are free; callers look at `BlockPool.free` first."""


def root(namespace: str) -> bytes:
    """The digest to begin with in a namespace: prompts of different ones share no blocks, however alike they are."""
    return blake2b(namespace.encode(), digest_size=16).digest() if namespace else ROOT


def chain(previous: bytes, tokens: NDArray[np.int64]) -> bytes:
    """The digest of one full block, given the digest of everything before it (`ROOT` at the start).

    Two blocks have the same digest exactly if they begin at the same root and all tokens from the start to the block's
    end are the same; that is what makes their keys and values interchangeable.
    """
    return blake2b(previous + tokens.tobytes(), digest_size=16).digest()


class BlockPool:
    """Reference-counted blocks with a prefix cache.

    A block is held (references > 0), cached (no references, but its content is known by a digest and may be taken over)
    or blank. Cached blocks count as free: they are evicted, least recently released first, when blank ones run out.
    Not thread safe.
    """

    __slots__ = ("_blank", "_cached", "_digest_of", "_holder_of", "_references", "num_blocks")

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._references = [0] * num_blocks
        self._digest_of: list[bytes | None] = [None] * num_blocks
        self._holder_of: dict[bytes, int] = {}
        self._blank = list(range(num_blocks - 1, -1, -1))
        self._cached: dict[int, None] = {}  # insertion order is the order of eviction

    @property
    def free(self) -> int:
        """Blocks that can be allocated now."""
        return len(self._blank) + len(self._cached)

    @property
    def used(self) -> int:
        """Blocks held by sequences."""
        return self.num_blocks - self.free

    def match(self, digests: Sequence[bytes]) -> list[int]:
        """The blocks of the longest known prefix of these digests. They are not held yet: see `hold`."""
        found = []
        for digest in digests:
            block = self._holder_of.get(digest)
            if block is None:
                break
            found.append(block)
        return found

    def idle(self, blocks: Sequence[int]) -> int:
        """How many of these blocks nobody holds, so that holding them makes `free` that much smaller."""
        return sum(1 for block in blocks if self._references[block] == 0)

    def hold(self, blocks: Sequence[int]) -> None:
        """Take one more reference to each of these matched blocks."""
        for block in blocks:
            if self._references[block] == 0:
                del self._cached[block]
            self._references[block] += 1

    def allocate(self, count: int) -> list[int]:
        """Blocks with unknown content and one reference each. Raises OutOfBlocksError, having changed nothing."""
        if count > self.free:
            raise OutOfBlocksError(f"{count} blocks wanted, {self.free} free")
        taken = []
        for _ in range(count):
            block = self._blank.pop() if self._blank else self._evict()
            self._references[block] = 1
            taken.append(block)
        return taken

    def release(self, blocks: Sequence[int]) -> None:
        """Give back one reference to each block of a sequence, in the sequence's order.

        The tail is evicted before the head: a prefix is of no use without its beginning.
        """
        for block in reversed(blocks):
            self._references[block] -= 1
            if self._references[block] == 0:
                if self._digest_of[block] is None:
                    self._blank.append(block)
                else:
                    self._cached[block] = None

    def publish(self, block: int, digest: bytes) -> None:
        """A held block has been filled: others may take it over by this digest, unless another block has it already."""
        if digest not in self._holder_of:
            self._holder_of[digest] = block
            self._digest_of[block] = digest

    def _evict(self) -> int:
        block = next(iter(self._cached))
        del self._cached[block]
        digest = self._digest_of[block]
        if digest is not None:
            del self._holder_of[digest]
        self._digest_of[block] = None
        return block
