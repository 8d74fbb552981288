"""A new master key, also when it is interrupted."""

import base64

import pytest
from typer.testing import CliRunner
from vaults import ADMIN, ANN, MASTER

from penstock.adapters.clock import SystemClock
from penstock.adapters.crypto.cipher import AesGcmCipher
from penstock.adapters.crypto.master_key import read_file
from penstock.adapters.store.store import SqlStore
from penstock.bootstrap import rotation
from penstock.bootstrap.secrets import make_secrets
from penstock.cli.main import app
from penstock.control.authenticator import Authenticator
from penstock.control.principals import Principals
from penstock.control.secret_rotation import BATCH, reseal
from penstock.domain.errors import PenstockError, Temporary
from penstock.domain.secret import Sealed, SecretRecord, SecretRef
from penstock.settings import load

NEW = b"n" * 32
COUNT = BATCH + 20


def base64_of(key):
    return base64.b64encode(key).decode()


async def test_it_goes_on_where_it_was_interrupted(vault):
    for number in range(COUNT):
        await vault.secrets.put(ANN, "anns", f"k{number:03}", b"sk-%d" % number)
    before = {one.key: one.updated_at for one in await vault.secrets.list(ANN, "anns")}
    cipher, unit_of, units = AesGcmCipher([NEW, MASTER]), vault.store.unit, []

    def third_fails():
        units.append(1)
        if len(units) == 3:
            raise Temporary
        return unit_of()

    vault.store.unit = third_fails
    with pytest.raises(Temporary):
        await reseal(vault.store, cipher)
    vault.store.unit = unit_of
    async with vault.store.unit() as unit:
        assert dict(await unit.secrets.key_ids()) == {cipher.key_id: BATCH, AesGcmCipher([MASTER]).key_id: 21}
    assert await reseal(vault.store, cipher) == 21
    assert await reseal(vault.store, cipher) == 0
    async with vault.store.unit() as unit:
        only_new = AesGcmCipher([NEW])
        assert dict(await unit.secrets.key_ids()) == {only_new.key_id: COUNT + 1}
        for number in range(COUNT):
            ref = SecretRef("anns", f"k{number:03}")
            assert only_new.open(ref, (await unit.secrets.get(ref)).sealed) == b"sk-%d" % number
    assert {one.key: one.updated_at for one in await vault.secrets.list(ANN, "anns")} == before


async def test_nothing_is_changed_if_a_key_is_missing(vault):
    await vault.secrets.put(ANN, "anns", "other", b"sk-2")
    async with vault.store.unit() as unit:
        await unit.secrets.put(SecretRecord(SecretRef("anns", "other"), Sealed("f" * 16, b"?"), 0))
    with pytest.raises(PenstockError, match=r"that were not given: f{16} \(1 secrets\)\."):
        await reseal(vault.store, AesGcmCipher([NEW, MASTER]))
    async with vault.store.unit() as unit:
        assert NEW not in dict(await unit.secrets.key_ids())
        assert AesGcmCipher([NEW]).key_id not in await unit.secrets.key_ids()


class Stopped:
    """A server's data folder while it is stopped; `opened` is what a start would have."""

    def __init__(self, folder):
        self.folder, self.key_file = folder, folder / "master.key"

    async def opened(self, job, **variables):
        settings = load({"data_dir": self.folder}, {f"PENSTOCK_{k.upper()}": v for k, v in variables.items()}, None)
        store = SqlStore(settings.database_url)
        await store.open()
        try:
            clock = SystemClock()
            principals = Principals(store, clock, Authenticator(store, clock))
            return await job(*(await make_secrets(settings, store, principals, clock))[:2])
        finally:
            await store.close()

    def filled(self, **variables):
        async def job(secrets, scopes):
            await scopes.create(ADMIN, "team", None)
            await secrets.put(ADMIN, "team", "key", b"sk-1")

        return self.opened(job, **variables)

    def value(self, **variables):
        return self.opened(lambda secrets, _scopes: secrets.get(ADMIN, "team", "key"), **variables)

    def rotate(self):
        return CliRunner().invoke(app, ["secrets", "rotate", "--data-dir", str(self.folder)])


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    # The command runs a loop of its own, so these tests run theirs with asyncio.run.
    for name in ("MASTER_KEY", "OLD_MASTER_KEY"):
        monkeypatch.delenv(f"PENSTOCK_{name}", raising=False)
    return Stopped(tmp_path)


def run(work):
    import asyncio

    return asyncio.run(work)


def test_without_a_key_of_ones_own_a_new_one_takes_the_place_of_the_former(stopped):
    run(stopped.filled())
    (former,) = read_file(stopped.key_file)
    done = stopped.rotate()
    assert done.exit_code == 0, done.output
    (fresh,) = read_file(stopped.key_file)
    assert fresh != former
    assert done.output == f"1 secrets were encrypted anew; all are under the key {AesGcmCipher([fresh]).key_id}.\n"
    assert run(stopped.value()) == ("key", b"sk-1")


def test_a_command_that_was_killed_leaves_a_server_that_starts_and_is_repeated(stopped, monkeypatch):
    run(stopped.filled())
    (former,) = read_file(stopped.key_file)
    with monkeypatch.context() as patch:
        patch.setattr(rotation, "reseal", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        stopped.rotate()
    fresh, second = read_file(stopped.key_file)
    assert second == former != fresh
    assert run(stopped.value()) == ("key", b"sk-1")
    assert stopped.rotate().exit_code == 0
    assert read_file(stopped.key_file) == [fresh]
    assert run(stopped.value()) == ("key", b"sk-1")


def test_from_the_key_that_was_made_to_one_of_ones_own_and_to_the_next(stopped, monkeypatch):
    run(stopped.filled())
    monkeypatch.setenv("PENSTOCK_MASTER_KEY", base64_of(NEW))
    assert run(stopped.value(master_key=base64_of(NEW))) == ("key", b"sk-1")
    done = stopped.rotate()
    assert "1 secrets were encrypted anew" in done.output
    assert "no longer needed" in done.output
    stopped.key_file.unlink()
    assert run(stopped.value(master_key=base64_of(NEW))) == ("key", b"sk-1")

    monkeypatch.setenv("PENSTOCK_MASTER_KEY", base64_of(MASTER))
    refused = stopped.rotate()
    assert refused.exit_code == 1
    assert f"master keys that were not given: {AesGcmCipher([NEW]).key_id} (1 secrets)" in refused.output
    monkeypatch.setenv("PENSTOCK_OLD_MASTER_KEY", base64_of(NEW))
    assert stopped.rotate().exit_code == 0
    assert run(stopped.value(master_key=base64_of(MASTER))) == ("key", b"sk-1")
    assert base64_of(MASTER) not in refused.output + done.output
    assert not stopped.key_file.exists()


def test_a_start_with_another_key_says_what_is_missing_and_the_secret_can_be_put_anew(stopped, caplog):
    run(stopped.filled(master_key=base64_of(MASTER)))
    with pytest.raises(PenstockError, match=f"master key {AesGcmCipher([MASTER]).key_id}, which the server"):
        run(stopped.value(master_key=base64_of(NEW)))

    async def again(secrets, _scopes):
        await secrets.put(ADMIN, "team", "key", b"sk-2")
        return await secrets.get(ADMIN, "team", "key")

    assert run(stopped.opened(again, master_key=base64_of(NEW))) == ("key", b"sk-2")


def test_a_running_server_is_not_rotated_under_its_feet(stopped):
    run(stopped.filled())
    before = stopped.key_file.read_bytes()

    async def running(_secrets, _scopes):
        import asyncio

        return await asyncio.to_thread(stopped.rotate)

    done = run(stopped.opened(running))
    assert done.exit_code == 1
    assert "in use by another Penstock server" in done.output
    assert stopped.key_file.read_bytes() == before
