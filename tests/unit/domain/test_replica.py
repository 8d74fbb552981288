"""The replica's states: forward only, failing from anywhere, over once ended."""

from itertools import product

import pytest

from penstock.domain.errors import PenstockError
from penstock.domain.replica import ENDED, ReplicaState, check_step

ORDER = [state for state in ReplicaState if state is not ReplicaState.FAILED]


@pytest.mark.parametrize(("before", "after"), list(product(ReplicaState, ReplicaState)))
def test_every_step(before, after):
    forward = after is ReplicaState.FAILED or (before in ORDER and ORDER.index(after) >= ORDER.index(before))
    if before not in ENDED and forward:
        check_step(before, after)
    else:
        with pytest.raises(PenstockError):
            check_step(before, after)
