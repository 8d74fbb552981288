"""Paths never lead outside of their version."""

from pathlib import PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain import artifact_path
from penstock.domain.errors import InvalidParameter, PathNotFound
from penstock.domain.names import ModelName

ROOT = "/Models/main/default/guide/3"
HOSTILE = st.lists(
    st.sampled_from(["..", ".", "", "a", "%2e%2e", "%2f", "/", "\\", "\0", "%00", "ä", "\ud800", "x" * 256])
)


@given(HOSTILE.map("/".join) | st.text())
def test_whatever_is_sent_stays_inside_or_is_refused(text):
    try:
        path = artifact_path.parse(f"{ROOT}/{text}").path
    except (InvalidParameter, PathNotFound):
        return
    parts = PurePosixPath(path).parts
    assert "/".join(parts) == path
    assert not path.startswith("/")
    assert ".." not in parts
    assert "\0" not in path
    assert len(path.encode()) <= 2048


@given(HOSTILE.map("/".join) | st.text())
def test_decoding_gives_as_many_segments_as_were_sent(text):
    raw = text.encode("utf-8", "replace").decode("latin-1")
    try:
        decoded = artifact_path.decode(raw)
    except InvalidParameter:
        return
    assert decoded.count("/") == raw.count("/")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1, max_size=5))
def test_what_clients_encode_is_what_is_stored(segments):
    wanted = "/".join(segments)
    raw = "/".join(quote(segment, safe="") for segment in segments)
    if any(segment in {".", ".."} or "/" in segment or "\0" in segment for segment in segments):
        with pytest.raises(InvalidParameter):
            artifact_path.parse(f"{ROOT}/{artifact_path.decode(raw)}")
        return
    found = artifact_path.parse(f"{ROOT}/{artifact_path.decode(raw)}")
    assert (found.path, str(found)) == (wanted, f"{ROOT}/{wanted}")


def test_the_root_with_and_without_a_slash():
    for text in (ROOT, f"{ROOT}/", ROOT.upper().replace("MODELS", "Models")):
        found = artifact_path.parse(text)
        assert (found.model, found.number, found.path) == (ModelName("main", "default", "guide"), 3, "")
        assert str(found) == ROOT
    with pytest.raises(InvalidParameter, match="not a file"):
        artifact_path.require_file(artifact_path.parse(ROOT))


@pytest.mark.parametrize(
    "path", ["/Volumes/a/b/c/1/x", "/Models/a/b/c", "/Models/a/b/c/x/y", "/Models/a/b/c/0/y", "/Models/a b/b/c/1", "/x"]
)
def test_other_places_are_not_found(path):
    with pytest.raises(PathNotFound, match="No file or directory"):
        artifact_path.parse(path)


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("a//b", "empty"),
        ("a/../b", r"'\.\.'"),
        ("a/b//", "empty"),
        ("x" * 256, "255 bytes"),
        ("ä" * 128, "255 bytes"),
        ("a/" * 33 + "a", "32 levels"),
        ("/".join(["x" * 200] * 11), "2048 bytes"),
        ("a\0b", "NUL"),
    ],
)
def test_the_rule_is_named(path, rule):
    with pytest.raises(InvalidParameter, match=rule):
        artifact_path.parse(f"{ROOT}/{path}")


@pytest.mark.parametrize("raw", ["a%2Fb", "%ff", "%2f"])
def test_encoded_slashes_and_broken_encodings_are_refused(raw):
    with pytest.raises(InvalidParameter):
        artifact_path.decode(raw)
