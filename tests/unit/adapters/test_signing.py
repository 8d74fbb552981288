"""Signed permissions hold for what they say and nothing else."""

from dataclasses import replace

import pytest

from penstock.adapters.signing import HmacSigner
from penstock.domain.errors import PenstockError
from penstock.ports.signer import Grant

GRANT = Grant("PUT", "storage0", "/Models/a/b/c/1/x", 1000, "session0", 2)


def test_a_signature_is_of_every_field():
    signer = HmacSigner(b"k" * 32)
    signature = signer.sign(GRANT)
    assert signer.verify(GRANT, signature)
    for other in (
        replace(GRANT, verb="GET"),
        replace(GRANT, storage="storage1"),
        replace(GRANT, path="/Models/a/b/c/1/y"),
        replace(GRANT, expires_at=1001),
        replace(GRANT, session=""),
        replace(GRANT, part=3),
        replace(GRANT, session="session02", part=0),
    ):
        assert not signer.verify(other, signature)
    assert not HmacSigner(b"l" * 32).verify(GRANT, signature)
    for wrong in ("", "ä", signature[:-1], signature.upper(), "\ud800"):
        assert not signer.verify(GRANT, wrong)


def test_the_key_is_made_once_and_private(tmp_path):
    path = tmp_path / "signing.key"
    signature = HmacSigner.open(path).sign(GRANT)
    assert HmacSigner.open(path).verify(GRANT, signature)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["signing.key"]


def test_a_damaged_key_is_told(tmp_path):
    path = tmp_path / "signing.key"
    path.write_bytes(b"short")
    with pytest.raises(PenstockError, match="damaged"):
        HmacSigner.open(path)
