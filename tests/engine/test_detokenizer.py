"""Text comes out as the whole decoding would give it, never half a character, never a stop string."""

import numpy as np
import pytest
from engine_fakes import byte_fallback, byte_level, word_piece, write_model
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_engine.checkpoint import ModelFolder
from penstock_engine.detokenizer import ByteDetokenizer, StopFilter, WindowDetokenizer
from penstock_engine.errors import CheckpointError
from penstock_engine.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    made = {"byte_level": byte_level(), "byte_fallback": byte_fallback(), "word_piece": word_piece()}
    folder = tmp_path_factory.mktemp("tokenizers")
    return {name: Tokenizer(ModelFolder.open(write_model(folder / name, one))) for name, one in made.items()}


texts = st.text(st.characters(codec="utf-8", exclude_characters="\N{LOWER ONE EIGHTH BLOCK}"), max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["byte_level", "byte_fallback"]), texts)
def test_pieces_joined_are_the_text(tokenizers, name, text):
    tokenizer = tokenizers[name]
    tokens = tokenizer.encode(text, special=False).tolist()
    for detokenizer in (tokenizer.detokenizer(None), WindowDetokenizer(tokenizer.decode, [])):
        pieces = [detokenizer.push(token) for token in tokens]
        assert "".join(pieces) + detokenizer.flush() == tokenizer.decode(tokens)
        if "\N{REPLACEMENT CHARACTER}" not in text:
            assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 399), max_size=30))
def test_any_tokens_of_a_byte_level_model_decode_as_a_whole(tokenizers, tokens):
    tokenizer = tokenizers["byte_level"]
    detokenizer = tokenizer.detokenizer(None)
    assert "".join(map(detokenizer.push, tokens)) + detokenizer.flush() == tokenizer.decode(tokens)


def test_the_kinds_of_decoders_are_recognised(tokenizers):
    kinds = {name: type(one.detokenizer(None)) for name, one in tokenizers.items()}
    assert kinds == {
        "byte_level": ByteDetokenizer,
        "byte_fallback": ByteDetokenizer,
        "word_piece": WindowDetokenizer,
    }


def test_an_answer_that_continues_a_text_keeps_its_first_space(tokenizers):
    tokenizer = tokenizers["byte_fallback"]
    prompt, tokens = tokenizer.encode("a", special=False), tokenizer.encode("the", special=False).tolist()
    assert "".join(map(tokenizer.detokenizer(prompt).push, tokens)) == " the"
    assert "".join(map(tokenizer.detokenizer(None).push, tokens)) == "the"
    words = tokenizers["word_piece"]
    detokenizer = words.detokenizer(np.array([2]))
    assert [detokenizer.push(3), detokenizer.push(5)] == ["ing", " of"]


def test_special_tokens_are_no_text_but_have_names(tokenizers):
    tokenizer = tokenizers["byte_level"]
    detokenizer = tokenizer.detokenizer(None)
    assert [detokenizer.push(token) for token in (0, 1, 5)] == ["", "", ""]
    assert tokenizer.piece(1) == b"</s>"
    assert tokenizers["word_piece"].piece(1) == b"[CLS]"
    assert b"".join(tokenizer.piece(t) for t in tokenizer.encode("Süß", special=False)) == "Süß".encode()


def test_ends_and_begin_tokens_come_from_all_files(tmp_path):
    folder = write_model(tmp_path, byte_level())
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 3]}')
    tokenizer = Tokenizer(ModelFolder.open(folder))
    assert tokenizer.ends == {1, 2, 3}
    assert tokenizer.encode("x", special=True)[0] == 0
    assert tokenizer.encode("x", special=False)[0] != 0


def test_a_llama_that_wants_a_begin_token_gets_exactly_one(tmp_path):
    made = byte_fallback()
    folder = write_model(tmp_path, made, add_bos_token=True, tokenizer_class="LlamaTokenizer")
    ids = Tokenizer(ModelFolder.open(folder)).encode("a", special=True).tolist()
    assert ids[0] == 0
    assert ids.count(0) == 1


def test_mlflows_layout_and_missing_or_broken_files(tmp_path):
    (tmp_path / "MLmodel").write_text("")
    write_model(tmp_path / "model", byte_level())
    (tmp_path / "model" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        Tokenizer(ModelFolder.open(tmp_path))
    write_model(tmp_path / "components" / "tokenizer", byte_level())
    assert Tokenizer(ModelFolder.open(tmp_path)).ends == {1}
    (tmp_path / "components" / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Tokenizer(ModelFolder.open(tmp_path))


def test_stop_strings_across_pieces():
    stops = StopFilter(["STOP", "TOP!"])
    assert [stops.push(piece) for piece in ("go S", "TO", "P on")] == ["go ", "", ""]
    assert stops.stopped
    held = StopFilter(["STOP"])
    assert [held.push("a ST"), held.push("ST"), held.flush()] == ["a ", "ST", "ST"]
    assert not held.stopped


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text("ab", max_size=3), max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_no_stop_string_gets_out_and_nothing_else_is_lost(pieces, wanted):
    stops = StopFilter(wanted)
    out, taken = "", ""
    for piece in pieces:
        taken += piece
        out += stops.push(piece)
        assert not any(stop in out for stop in wanted)
        if stops.stopped:
            assert stops.met in wanted
            assert taken.startswith(out + stops.met)
            return
        assert not any(stop in taken for stop in wanted)
    assert out + stops.flush() == taken
