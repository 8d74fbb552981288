"""Whatever arrives, in whatever order and however little memory there is: every answer is the one it would be alone."""

import numpy as np
import pytest
from engine_fakes import FakeDecoder
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_engine.engine_loop import EngineLoop
from penstock_engine.metrics import Metrics
from penstock_engine.refusal import QueueFull
from penstock_engine.sampling import Sampling
from penstock_engine.sequence import Finish, Sequence, Terms

GREEDY = Sampling(temperature=0)


def loop_of(decoder, max_running=4, max_queue=64, prefill_chunk=8, fatal=None):
    failed = fatal if fatal is not None else []
    return EngineLoop(
        decoder,
        Metrics(),
        max_running=max_running,
        max_queue=max_queue,
        prefill_chunk=prefill_chunk,
        on_fatal=lambda: failed.append(1),
    )


def sequence_of(prompt, max_tokens=6, after=None, choice=0, sampling=GREEDY, **terms):
    return Sequence(np.array(prompt, np.int64), Terms(max_tokens=max_tokens, **terms), sampling, choice, after)


def run(loop, sequences, cancel_at=None):
    """Steps until all ended; the last outputs by sequence, each of which must come exactly once."""
    ends = {}
    for step in range(10_000):
        if cancel_at is not None and step in cancel_at:
            loop.cancel([sequences[cancel_at[step]]])
        if len(ends) == len(sequences):
            break
        for output in loop.step():
            assert output.sequence not in ends, "an output after the last"
            if output.finish is not None:
                ends[output.sequence] = output.finish
        assert_books(loop)
    assert len(ends) == len(sequences)
    return ends


def assert_books(loop):
    """Blocks of running sequences cover their tokens, and only full, published ones are shared."""
    pool, size = loop.pool, loop._decoder.block_size
    holders = {}
    for sequence in loop.scheduler.running:
        assert len(sequence.blocks) * size >= sequence.computed
        assert sequence.table[: len(sequence.blocks)].tolist() == sequence.blocks
        for index, block in enumerate(sequence.blocks):
            holders.setdefault(block, []).append((index + 1) * size <= sequence.computed)
    assert all(all(full) for full in holders.values() if len(full) > 1)
    assert pool.used == len(holders)
    assert all(not sequence.blocks for sequence in loop.scheduler.waiting)


def answer(sequence):
    return sequence.tokens[sequence.prompt_length : sequence.length].tolist()


prompts = st.lists(st.integers(0, 3), min_size=1, max_size=24)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(prompts, st.integers(1, 12)), min_size=1, max_size=8),
    st.integers(9, 40),
    st.integers(1, 4),
    st.integers(1, 16),
)
def test_every_answer_is_the_one_it_would_be_alone(wanted, num_blocks, max_running, chunk):
    decoder = FakeDecoder(vocab_size=20, num_blocks=num_blocks)
    loop = loop_of(decoder, max_running, prefill_chunk=chunk)
    sequences = [sequence_of(prompt, count) for prompt, count in wanted]
    loop.submit(sequences)
    ends = run(loop, sequences)
    for (prompt, count), sequence in zip(wanted, sequences, strict=True):
        assert ends[sequence] is Finish.LENGTH
        assert answer(sequence) == decoder.greedy(prompt, count)
    assert decoder.largest <= chunk + max_running
    assert loop.pool.free == num_blocks


@settings(max_examples=60, deadline=None)
@given(st.lists(prompts, min_size=2, max_size=6), st.dictionaries(st.integers(0, 20), st.integers(0, 1), max_size=4))
def test_cancelled_sequences_end_once_and_disturb_nobody(wanted, cancel_at):
    decoder = FakeDecoder(vocab_size=20, num_blocks=12)
    loop = loop_of(decoder)
    sequences = [sequence_of(prompt, 8) for prompt in wanted]
    loop.submit(sequences)
    ends = run(loop, sequences, cancel_at)
    for prompt, sequence in zip(wanted, sequences, strict=True):
        expected = decoder.greedy(prompt, 8)
        said = answer(sequence)
        assert said == expected[: len(said)]
        assert ends[sequence] is (Finish.LENGTH if len(said) == 8 else Finish.CANCELLED)
    assert loop.pool.free == 12
    assert loop.running == loop.waiting == 0


def test_a_known_prefix_is_not_computed_again_but_its_last_block_is():
    decoder = FakeDecoder()
    loop = loop_of(decoder, prefill_chunk=64)
    prompt = list(range(16))
    first = sequence_of(prompt, 1)
    loop.submit([first])
    run(loop, [first])
    assert (decoder.computed, first.cached) == (16, 0)
    again = sequence_of(prompt, 1)
    longer = sequence_of([*prompt, 1, 2, 3], 1)
    loop.submit([again, longer])
    run(loop, [again, longer])
    assert (again.cached, longer.cached) == (12, 16)
    assert decoder.computed == 16 + 4 + 3
    assert answer(again) == decoder.greedy(prompt, 1)


def test_choices_of_one_prompt_compute_it_once():
    decoder = FakeDecoder()
    loop = loop_of(decoder, max_running=8, prefill_chunk=64)
    prompt = list(range(18))
    first = sequence_of(prompt, 2)
    others = [sequence_of(prompt, 2, after=first, choice=index) for index in (1, 2)]
    loop.submit([first, *others])
    run(loop, [first, *others])
    assert [one.cached for one in (first, *others)] == [0, 16, 16]
    assert all(answer(one) == decoder.greedy(prompt, 2) for one in (first, *others))


def test_choices_do_not_wait_for_a_sibling_that_was_cancelled():
    loop = loop_of(FakeDecoder())
    first = sequence_of(range(20), 2)
    other = sequence_of(range(20), 2, after=first)
    loop.submit([first, other])
    loop.cancel([first])
    assert run(loop, [first, other]) == {first: Finish.CANCELLED, other: Finish.LENGTH}


def test_prompts_are_computed_by_their_deadlines_and_what_had_to_give_way_first():
    loop = loop_of(FakeDecoder(num_blocks=200), prefill_chunk=8)
    long, late, soon = (sequence_of(range(size), 2) for size in (60, 20, 20))
    long.deadline, late.deadline, soon.deadline = 2.0, 3.0, 1.0
    loop.submit([long])
    loop.step()
    loop.submit([late, soon])
    began = []
    while len(began) < 3:
        loop.step()
        began += [one for one in (long, late, soon) if one.generated and one not in began]
    assert began == [soon, long, late]
    late.detach()
    assert late.deadline == 0.0, "computed again, it is the first"


def test_a_prompt_that_finds_no_room_lets_none_pass_that_waits():
    loop = loop_of(FakeDecoder(num_blocks=12), prefill_chunk=8)
    running, large, small = (sequence_of(range(size), 8) for size in (20, 30, 4))
    loop.submit([running])
    loop.step()
    loop.submit([large, small])
    large.deadline, small.deadline = 1.0, 2.0
    loop.step()
    assert list(loop.scheduler.waiting) == [large, small]
    assert run(loop, [running, large, small])


def test_decodes_go_on_while_a_long_prompt_is_read():
    decoder = FakeDecoder()
    loop = loop_of(decoder, prefill_chunk=8)
    short = sequence_of([1, 2], 10)
    loop.submit([short])
    loop.step()
    loop.submit([sequence_of(range(80), 1)])
    for said in range(2, 11):
        loop.step()
        assert short.generated == said


@pytest.mark.parametrize(("decodes", "longest"), [(1, 8), (3, 8), (6, 10)])
def test_full_steps_have_one_length_and_half_of_it_stays_for_prompts(decodes, longest):
    decoder = FakeDecoder()
    loop = loop_of(decoder, max_running=8, prefill_chunk=8)
    loop.submit([sequence_of([n], 40) for n in range(decodes)])
    loop.step()
    loop.submit([sequence_of(range(50, 80), 1)])
    for _ in range(3):
        before = decoder.computed
        loop.step()
        assert decoder.computed - before == longest


def test_without_memory_the_youngest_waits_and_is_computed_again():
    decoder = FakeDecoder(num_blocks=10)
    loop = loop_of(decoder, prefill_chunk=64)
    old, young = sequence_of(range(12), 20), sequence_of(range(50, 62), 20)
    loop.submit([old, young])
    run(loop, [old, young])
    assert loop.scheduler.preemptions >= 1
    assert answer(old) == decoder.greedy(range(12), 20)
    assert answer(young) == decoder.greedy(range(50, 62), 20)


def test_a_full_queue_refuses_and_room_comes_back():
    loop = loop_of(FakeDecoder(), max_running=1, max_queue=2)
    three = [sequence_of([1], 1) for _ in range(3)]
    for one in three:
        loop.submit([one])
    with pytest.raises(QueueFull, match="limit is 2"):
        loop.submit([sequence_of([1], 1)])
    run(loop, three)
    loop.submit([sequence_of([1], 1)])


def test_end_tokens_end_but_not_before_min_tokens_and_not_if_ignored():
    decoder = FakeDecoder(vocab_size=20)
    first, second, *_ = decoder.greedy([3, 4], 4)
    plain = sequence_of([3, 4], 4, ends=frozenset({first}))
    ignoring = sequence_of([3, 4], 4, ends=frozenset({first}), ignore_ends=True)
    later = sequence_of([3, 4], 4, ends=frozenset({first, second}), min_tokens=2)
    loop = loop_of(decoder)
    loop.submit([plain, ignoring, later])
    ends = run(loop, [plain, ignoring, later])
    assert (ends[plain], answer(plain)) == (Finish.STOP, [first])
    assert (ends[ignoring], answer(ignoring)) == (Finish.LENGTH, decoder.greedy([3, 4], 4))
    assert not {first, second} & set(answer(later)[:2])


def test_prompt_scores_are_those_of_the_model_however_the_prompt_is_cut():
    decoder = FakeDecoder(vocab_size=30)
    prompt = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    warm = sequence_of(prompt, 1)
    scored = sequence_of(prompt, 2, top_logprobs=3, score_prompt=True)
    only = sequence_of(prompt, 0, top_logprobs=1, score_prompt=True)
    loop = loop_of(decoder, prefill_chunk=3)
    loop.submit([warm])
    run(loop, [warm])
    loop.submit([scored, only])
    run(loop, [scored, only])
    assert only.cached == scored.cached == 0
    for sequence in (scored, only):
        assert [one.token for one in sequence.prompt_scores] == prompt[1:]
        for index, one in enumerate(sequence.prompt_scores):
            row = decoder.logits(np.array(prompt[: index + 1])).astype(np.float64)
            expected = row - np.log(np.exp(row).sum())
            assert one.logprob == pytest.approx(expected[one.token], abs=1e-4)
            assert one.top_ids[0] == int(row.argmax())
    assert answer(scored) == decoder.greedy(prompt, 2)
    assert answer(only) == []


def test_a_failing_step_fails_its_sequences_and_three_in_a_row_the_engine():
    fatal = []
    decoder = FakeDecoder()
    loop = loop_of(decoder, fatal=fatal)
    decoder.fail = 2
    for _ in range(2):
        one = sequence_of([1, 2], 2)
        loop.submit([one])
        assert run(loop, [one]) == {one: Finish.FAILED}
    fine = sequence_of([1, 2], 2)
    loop.submit([fine])
    assert run(loop, [fine]) == {fine: Finish.LENGTH}
    assert (fatal, loop.pool.free) == ([], decoder.num_blocks)
    decoder.fail = 3
    for _ in range(3):
        one = sequence_of([1, 2], 2)
        loop.submit([one])
        run(loop, [one])
    assert fatal == [1]
