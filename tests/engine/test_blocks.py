"""No block is lost, none is written by one sequence and read by another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_engine.blocks import ROOT, BlockPool, OutOfBlocksError, chain


def digests(name, count):
    found, previous = [], ROOT
    for index in range(count):
        previous = chain(previous, np.array([name, index], np.int64))
        found.append(previous)
    return found


def test_a_prefix_is_found_again_and_its_digest_depends_on_everything_before():
    pool = BlockPool(8)
    blocks = pool.allocate(3)
    for block, digest in zip(blocks, digests(1, 3), strict=True):
        pool.publish(block, digest)
    assert pool.match(digests(1, 5)) == blocks
    assert pool.match(digests(2, 3)) == []
    same_tokens_elsewhere = chain(digests(2, 1)[0], np.array([1, 1], np.int64))
    assert same_tokens_elsewhere != digests(1, 2)[1]


def test_released_blocks_keep_their_content_until_others_are_needed_tail_first():
    pool = BlockPool(4)
    blocks = pool.allocate(3)
    for block, digest in zip(blocks, digests(1, 3), strict=True):
        pool.publish(block, digest)
    pool.release(blocks)
    assert pool.free == 4
    taken = pool.allocate(2)
    assert blocks[2] in taken
    assert pool.match(digests(1, 3)) == blocks[:2]


def test_too_many_blocks_are_refused_and_nothing_is_taken():
    pool = BlockPool(2)
    with pytest.raises(OutOfBlocksError):
        pool.allocate(3)
    assert pool.free == 2


def test_a_second_block_with_the_same_content_is_not_shared():
    pool = BlockPool(4)
    first, second = pool.allocate(2)
    pool.publish(first, digests(1, 1)[0])
    pool.publish(second, digests(1, 1)[0])
    pool.release([second])
    assert pool.match(digests(1, 1)) == [first]
    pool.release([first])
    assert pool.free == 4


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(0, 5)), max_size=60))
def test_whatever_is_done_every_block_is_held_or_free_exactly_once(steps):
    pool = BlockPool(12)
    held = []
    for name, count, which in steps:
        if held and which >= 3:
            pool.release(held.pop(which % len(held)))
            continue
        found = pool.match(digests(name, count))
        if count - len(found) > pool.free - pool.idle(found):
            continue
        pool.hold(found)
        blocks = found + pool.allocate(count - len(found))
        for block, digest in zip(blocks, digests(name, count), strict=True):
            pool.publish(block, digest)
        held.append(blocks)
        assert len(set(blocks)) == count
        assert pool.used == len({block for one in held for block in one})
        assert pool.free + pool.used == 12
    for blocks in held:
        pool.release(blocks)
    assert pool.free == 12
    assert sorted(pool.allocate(12)) == list(range(12))
    assert pool.match(digests(0, 1)) == []
