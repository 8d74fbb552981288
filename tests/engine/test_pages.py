"""Huge pages: which memory is asked for, and that asking changes no content."""

import numpy as np

from penstock_engine import pages

MAPS = """\
100000000-104000000 rw-p 00000000 00:00 0
200000000-200400000 rw-p 00000000 00:00 0
300000000-304000000 rw-p 00000000 00:00 0                                [heap]
400000000-404000000 rw-p 00000000 fe:00 123                              /models/weights
500000000-504000000 r--p 00000000 00:00 0
600001000-602001000 rw-p 00000000 00:00 0
"""


def test_only_large_private_memory_without_a_name_counts_in_whole_huge_pages():
    assert list(pages.large_regions(MAPS.splitlines())) == [(0x100000000, 0x104000000), (0x600200000, 0x602000000)]


def test_memory_for_the_cache_is_zero_writable_and_of_the_asked_size():
    memory = pages.zeros(3 * pages.HUGE + 5)
    assert memory.nbytes == 3 * pages.HUGE + 5
    assert not memory.any()
    memory[-1] = 7
    assert memory[-1] == 7


def test_gathering_keeps_what_is_there():
    memory = pages.zeros(2 * pages.LEAST)
    numbers = np.random.default_rng(0).integers(0, 256, memory.size, np.uint8)
    memory[:] = numbers
    assert pages.gather_large_regions() >= pages.LEAST
    assert (memory == numbers).all()


def test_a_system_without_maps_is_left_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(pages, "MAPS", tmp_path / "none")
    assert pages.gather_large_regions() == 0
