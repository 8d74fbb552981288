"""Values at rest, and the keys for them."""

import base64
import stat
import sys

import pytest

from penstock.adapters.crypto.cipher import AesGcmCipher
from penstock.adapters.crypto.master_key import ask_command, new_key, parse_keys, read_file, write_file
from penstock.domain.errors import InvalidParameter, PenstockError
from penstock.domain.secret import Sealed, SecretRef

OLD, NEW = b"o" * 32, b"n" * 32
REF = SecretRef("Team", "Key")


def test_what_is_sealed_opens_again_and_looks_different_each_time():
    cipher = AesGcmCipher([OLD])
    for value in (b"", b"sk-1", bytes(range(256)) * 512):
        first, second = cipher.seal(REF, value), cipher.seal(REF, value)
        assert first.content != second.content
        assert len(first.content) == len(value) + 12 + 16
        assert not value or value not in first.content
        assert cipher.open(SecretRef("tEAM", "kEY"), first) == cipher.open(REF, second) == value


def test_every_bit_that_is_changed_is_noticed():
    cipher = AesGcmCipher([OLD])
    sealed = cipher.seal(REF, b"sk-1")
    for at in range(len(sealed.content)):
        altered = bytearray(sealed.content)
        altered[at] ^= 1
        with pytest.raises(PenstockError, match=r"secrets/Team/Key.* was altered"):
            cipher.open(REF, Sealed(sealed.key_id, bytes(altered)))
    for short in (b"", sealed.content[:11], sealed.content[:20]):
        with pytest.raises(PenstockError, match="was altered"):
            cipher.open(REF, Sealed(sealed.key_id, short))


@pytest.mark.parametrize("other", [SecretRef("Team", "Key2"), SecretRef("Team2", "Key"), SecretRef("Tea", "mKey")])
def test_it_opens_in_its_own_place_only(other):
    cipher = AesGcmCipher([OLD])
    with pytest.raises(PenstockError, match="was altered"):
        cipher.open(other, cipher.seal(REF, b"sk-1"))


def test_the_first_key_seals_and_all_open():
    old, new, both = AesGcmCipher([OLD]), AesGcmCipher([NEW]), AesGcmCipher([NEW, OLD])
    assert both.key_id == new.key_id != old.key_id
    assert both.open(REF, old.seal(REF, b"sk-1")) == both.open(REF, both.seal(REF, b"sk-1")) == b"sk-1"
    assert both.knows(old.key_id)
    assert not new.knows(old.key_id)
    with pytest.raises(PenstockError, match=f"under the master key {old.key_id}, which the server does not have"):
        new.open(REF, old.seal(REF, b"sk-1"))


def test_a_key_is_base64_of_32_bytes_and_several_stand_apart():
    plain, urls = base64.b64encode(b"\xff" * 32).decode(), base64.urlsafe_b64encode(b"\xff" * 32).decode()
    assert parse_keys(f" {plain}\n{urls}\n", "It") == [b"\xff" * 32] * 2


@pytest.mark.parametrize("text", ["", " \n", "hunter2hunter2", "aHVudGVyMg==", "hunter2 " * 3, "hünter2"])
def test_what_is_no_key_is_refused_without_repeating_it(text):
    with pytest.raises(InvalidParameter, match="PENSTOCK_MASTER_KEY") as refused:
        parse_keys(text, "PENSTOCK_MASTER_KEY")
    assert "unter2" not in refused.value.message
    assert refused.value.__context__ is None


def test_a_key_file_is_for_its_owner_and_is_replaced_whole(tmp_path):
    path = tmp_path / "master.key"
    for keys in ([OLD], [NEW, OLD], [new_key()]):
        write_file(path, keys)
        assert read_file(path) == keys
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [path]


def test_key_files_that_cannot_be_used(tmp_path):
    with pytest.raises(InvalidParameter, match=r"none\.key cannot be read: No such file"):
        read_file(tmp_path / "none.key")
    with pytest.raises(InvalidParameter, match="cannot be written: No such file"):
        write_file(tmp_path / "none" / "master.key", [OLD])


def python(code):
    return f'"{sys.executable}" -c "{code}"'


def test_a_command_prints_the_key():
    assert ask_command(python(f"print('{base64.b64encode(OLD).decode()}')")) == [OLD]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/nowhere/kms decrypt", "cannot be run: No such file or directory"),
        ('kms "decrypt', "cannot be run: No closing quotation"),
        (python("print('hunter2'); raise SystemExit(3)"), "ended with status 3"),
        (python("print('hunter2')"), "must be 32 bytes in base64"),
        (python("pass"), "is empty"),
    ],
)
def test_commands_that_fail_are_told_without_what_they_print(command, message, capfd):
    with pytest.raises(InvalidParameter, match=message) as refused:
        ask_command(command)
    assert "secrets.master_key_command" in refused.value.message
    assert "hunter2" not in refused.value.message + "".join(capfd.readouterr())


def test_a_command_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr("penstock.adapters.crypto.master_key.COMMAND_S", 0.5)
    with pytest.raises(InvalidParameter, match=r"took longer than 0\.5 s") as refused:
        ask_command(python("import time; print('hunter2', flush=True); time.sleep(60)"))
    assert refused.value.__cause__ is None
