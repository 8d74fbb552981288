"""Clients that go on whatever happens to the server, and remember what they were promised."""

import asyncio
import json
import random
from dataclasses import dataclass, field

import aiohttp

from penstock.testing.tiny_llama import version_files

LEGACY = "/api/2.0/mlflow/unity-catalog"
ENDPOINTS = "/api/2.0/serving-endpoints"
MODEL = "main.storm.tiny"
BROKEN = (aiohttp.ClientError, TimeoutError, ConnectionError)


@dataclass
class Seen:
    """What one streaming client saw: `ended` is done, error, cut, refused or hung; `usage` the last it was told."""

    request_id: str = ""
    status: int = 0
    ended: str = "cut"
    usage: dict = field(default_factory=dict)


@dataclass
class Promises:
    """What the server accepted."""

    streams: list[Seen] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)  # finalized version -> seed of its files
    updates_accepted: list[tuple[int, int]] = field(default_factory=list)  # config version, max throughput
    updates_unknown: int = 0
    deployed: list[str] = field(default_factory=list)


class Storm:
    """Streams, uploads and updates against a stand, until told to stop."""

    def __init__(self, stand, seed):
        self.stand = stand
        self.random = random.Random(seed)
        self.promises = Promises()
        self.stopping = asyncio.Event()

    async def call(self, method, path, body=None, **options):
        async with self.stand.session.request(method, self.stand.url + path, json=body, **options) as answer:
            return answer.status, await answer.json()

    async def insist(self, method, path, body=None):
        """Repeats a call until the server answers it; for calls that are safe to repeat."""
        while True:
            try:
                status, answer = await self.call(method, path, body)
            except BROKEN:
                await asyncio.sleep(0.1)
                continue
            if status not in (429, 503):
                return status, answer
            await asyncio.sleep(0.2)

    async def upload(self, version, seed):
        """Uploads a version's files and finalizes it, resuming after every failure."""
        for path, content in version_files(seed).items():
            full = "/Models/" + MODEL.replace(".", "/") + f"/{version}/{path}"
            while True:
                status, signed = await self.insist("POST", "/api/2.0/fs/create-upload-url", {"path": full})
                assert status == 200, signed
                try:
                    async with aiohttp.request("PUT", signed["url"], data=content) as put:
                        assert put.status in (200, 201, 204), await put.text()
                        break
                except BROKEN:
                    await asyncio.sleep(0.1)
        name = {"name": MODEL, "version": str(version)}
        status, answer = await self.insist("POST", f"{LEGACY}/model-versions/finalize", name)
        assert (status, answer["model_version"]["status"]) == (200, "READY"), answer
        self.promises.versions[version] = seed

    async def uploads(self):
        """New versions one after the other; one whose creation was not answered is left as it is."""
        seed = 100
        while not self.stopping.is_set():
            seed += 1
            try:
                body = {"name": MODEL, "source": "here", "run_id": ""}
                status, answer = await self.call("POST", f"{LEGACY}/model-versions/create", body)
            except BROKEN:
                await asyncio.sleep(0.1)
                continue
            assert status == 200, answer
            await self.upload(int(answer["model_version"]["version"]), seed)

    async def stream(self, endpoint, *, lines=None):
        """One streamed chat, to its end or to whatever happens to it; hangs up after so many lines, if given."""
        seen = Seen()
        self.promises.streams.append(seen)
        body = {
            "messages": [{"role": "user", "content": f"{self.random.random()}"}],
            "max_tokens": self.random.randint(5, 200),
            "stream": True,
        }
        try:
            async with self.stand.session.post(
                f"{self.stand.url}/serving-endpoints/{endpoint}/invocations",
                json=body,
            ) as answer:
                seen.status, seen.request_id = answer.status, answer.headers["x-request-id"]
                if answer.status != 200:
                    seen.ended = "refused"
                    await asyncio.sleep(0.2)
                    return
                async for line in answer.content:
                    self._read(seen, line)
                    if lines is not None and (lines := lines - 1) < 0:
                        seen.ended = "hung"
                        answer.close()
                        return
        except BROKEN:
            await asyncio.sleep(0.1)

    @staticmethod
    def _read(seen, line):
        if line.startswith(b"data: [DONE]"):
            seen.ended = "done"
        elif line.startswith(b"data: "):
            event = json.loads(line[6:])
            seen.usage = event.get("usage") or seen.usage
            seen.ended = "error" if "error" in event else seen.ended

    async def streams(self, endpoint):
        while not self.stopping.is_set():
            await self.stream(endpoint)

    async def hang_ups(self, endpoint):
        while not self.stopping.is_set():
            await self.stream(endpoint, lines=self.random.randint(0, 20))

    async def updates(self, endpoint, entity):
        """New bands for the endpoint, as fast as the server takes them."""
        maximum = 1000
        while not self.stopping.is_set():
            maximum += 1
            body = {"served_entities": [{**entity, "max_provisioned_throughput": maximum}]}
            try:
                status, answer = await self.call("PUT", f"{ENDPOINTS}/{endpoint}/config", body)
            except BROKEN:
                self.promises.updates_unknown += 1
                await asyncio.sleep(0.1)
                continue
            if status == 200:
                version = (answer.get("pending_config") or answer["config"])["config_version"]
                self.promises.updates_accepted.append((version, maximum))
            else:
                assert status in (409, 503), answer
            await asyncio.sleep(self.random.uniform(0.1, 0.6))

    async def deploy(self, name, version):
        """Creates an endpoint and remembers that it was accepted."""
        entity = {
            "entity_name": MODEL,
            "entity_version": str(version),
            "min_provisioned_throughput": 0,
            "max_provisioned_throughput": 1000,
        }
        status, answer = await self.insist("POST", ENDPOINTS, {"name": name, "config": {"served_entities": [entity]}})
        assert status in (200, 409), answer  # 409: it was accepted before the answer was lost
        self.promises.deployed.append(name)
        return entity

    async def settled(self, name):
        """The endpoint once nothing is being updated."""
        while True:
            status, answer = await self.insist("GET", f"{ENDPOINTS}/{name}")
            assert status == 200, answer
            if answer["state"]["config_update"] != "IN_PROGRESS":
                return answer
            await asyncio.sleep(0.2)


async def serve_tiny(stand, name):
    """A ready endpoint on a fresh stand."""
    storm = Storm(stand, 1)
    await stand.start()
    await storm.insist("POST", f"{LEGACY}/registered-models/create", {"name": MODEL})
    status, _ = await storm.call("POST", f"{LEGACY}/model-versions/create", {"name": MODEL, "source": "here"})
    assert status == 200
    await storm.upload(1, 1)
    await storm.deploy(name, 1)
    assert (await storm.settled(name))["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    return storm
