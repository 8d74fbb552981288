"""The connections to providers, against servers that speak HTTP byte by byte."""

import asyncio
import contextlib
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import zlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from penstock.adapters.providers import connection as connection_module
from penstock.adapters.providers import connections as connections_module
from penstock.adapters.providers import wire as wire_module
from penstock.adapters.providers.names import Names
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.errors import ProviderFailed, ProviderLate

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Answers each request with the next of `answers`: pieces. None closes; an event is awaited."""

    def __init__(self, answers, tls=None):
        self.answers = list(answers)
        self.tls = tls
        self.connections = 0
        self.requests = []
        self.serving = set()
        self.server = None

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        port = self.server.sockets[0].getsockname()[1]
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{port}/v1"

    async def _serve(self, reader, writer):
        self.connections += 1
        self.serving.add(asyncio.current_task())
        try:
            await self._answer(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                answer = self.answers.pop(0)
                for piece in answer:
                    if isinstance(piece, asyncio.Event):
                        await piece.wait()
                    elif piece is None:
                        writer.close()
                        await writer.wait_closed()
                        return
                    else:
                        writer.write(piece)
                        await writer.drain()

    async def close(self):
        self.server.close()
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)
        await self.server.wait_closed()


@pytest.fixture
async def serving():
    made, wires = [], []

    async def start(*answers, tls=None, patience=None):
        server = Server(answers, tls)
        made.append(server)
        wire = Wire(patience or Patience(), allow_private=True)
        wires.append(wire)
        return server, wire, await server.start()

    yield start
    for wire in wires:
        await wire.close()
    for server in made:
        await server.close()


async def asked(wire, url, body=b"{}", headers=None):
    answer = await wire.post("It", url, headers or {}, body)
    try:
        return answer, await answer.whole()
    finally:
        answer.close()


async def until(true):
    for _ in range(20_000):
        if true():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it did not come to pass")


async def test_a_request_as_it_is_sent(serving):
    server, wire, url = await serving([LENGTH])
    answer, body = await asked(wire, f"{url}/a?b=c%20d", b"[]", {"x-key": "k", "Authorization": "Bearer t"})
    assert (answer.status, answer.content_type, answer.header("Content-Length"), body) == (
        200,
        b"application/json",
        "2",
        b"{}",
    )
    [request] = server.requests
    lines = request.split(b"\r\n")
    assert lines[0] == b"POST /v1/a?b=c%20d HTTP/1.1"
    assert lines[1] == b"host: " + url.split("/")[2].encode()
    assert {b"x-key: k", b"Authorization: Bearer t", b"content-length: 2", b"accept-encoding: identity"} <= set(lines)
    assert request.endswith(b"\r\n\r\n[]")


async def test_a_large_body_arrives_whole(serving):
    server, wire, url = await serving([LENGTH], [LENGTH])
    large = b"x" * (3 * 1024 * 1024)
    await asked(wire, url, large)
    await asked(wire, url)
    assert server.requests[0].endswith(b"\r\n\r\n" + large)
    assert server.connections == 1


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"x\ny": "a"}, {"x:": "a"}, {"x": "\0"}, {"": "a"}])
async def test_headers_that_would_be_more_than_one_are_not_sent(serving, headers):
    server, wire, url = await serving()
    with pytest.raises(ProviderFailed, match="URL or a header of the request is not valid"):
        await wire.post("It", url, headers, b"")
    assert not server.connections


@pytest.mark.parametrize("url", ["ftp://a/", "http://", "http://user@a/", "http://[::/", f"http://{'a' * 64}.example"])
async def test_urls_that_lead_nowhere(serving, url):
    _, wire, _ = await serving()
    with pytest.raises(ProviderFailed):
        await wire.post("It", url, {}, b"")


async def test_an_answer_in_pieces_with_a_head_in_pieces(serving):
    _, wire, url = await serving([CHUNKED[:30], CHUNKED[30:], b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"])
    assert (await asked(wire, url))[1] == b"abcde"


async def test_an_answer_without_a_length_ends_with_its_connection(serving):
    server, wire, url = await serving([b"HTTP/1.1 200 OK\r\n\r\nabc", None], [LENGTH])
    assert (await asked(wire, url))[1] == b"abc"
    assert not wire._connections.idle
    await asked(wire, url)
    assert server.connections == 2


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
async def test_an_answer_that_is_compressed_unasked_is_inflated(serving, encoding):
    packed = gzip.compress(b"hello" * 100) if encoding == b"gzip" else zlib.compress(b"hello" * 100)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(packed))
    _, wire, url = await serving([head, packed[:5], packed[5:]], [head, b"x" * len(packed)])
    assert (await asked(wire, url))[1] == b"hello" * 100
    with pytest.raises(ProviderFailed, match="compression is broken"):
        await asked(wire, url)


async def test_an_encoding_that_is_not_known_is_refused(serving):
    _, wire, url = await serving([b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx"])
    with pytest.raises(ProviderFailed, match="encoding"):
        await asked(wire, url)


async def test_answers_that_are_too_large(serving, monkeypatch):
    monkeypatch.setattr(wire_module, "MOST_BYTES", 1000)
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
    zipped = gzip.compress(b"0" * 1001)
    bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(zipped)
    _, wire, url = await serving([body, b"0" * 1001], [bomb, zipped])
    for _ in range(2):
        with pytest.raises(ProviderFailed, match="larger than 1000 bytes"):
            await asked(wire, url)


async def test_heads_that_are_too_large(serving, monkeypatch):
    monkeypatch.setattr(connection_module, "MOST_HEAD", 1000)
    _, wire, url = await serving([b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1001])
    with pytest.raises(ProviderFailed, match="the head of its answer is too large"):
        await asked(wire, url)


async def test_what_is_not_http_is_a_failure(serving):
    _, wire, url = await serving([b"SSH-2.0-x\r\n"])
    with pytest.raises(ProviderFailed, match="not HTTP"):
        await asked(wire, url)


async def test_an_announcement_is_not_the_answer(serving):
    _, wire, url = await serving([b"HTTP/1.1 100 Continue\r\n\r\n", LENGTH])
    assert (await asked(wire, url))[1] == b"{}"


async def test_the_whole_time_is_limited_though_something_comes_always(serving):
    never = asyncio.Event()
    drip = [CHUNKED, *[b"1\r\na\r\n"] * 3, never]
    _, wire, url = await serving(drip, patience=Patience(silence_s=300, total_s=0.05))
    with pytest.raises(ProviderLate):
        await asked(wire, url)
    never.set()


async def test_bytes_of_an_answer_are_the_last_chance_for_another_try(serving):
    server, wire, url = await serving([LENGTH], [b"HTTP/1.1 200", asyncio.Event()], [LENGTH])
    await asked(wire, url)
    task = asyncio.create_task(asked(wire, url))
    [one] = wire._connections._open
    await until(lambda: len(server.requests) == 2 and one.heard)
    one.abort()
    with pytest.raises(ProviderFailed, match="cannot be reached"):
        await task
    assert len(server.requests) == 2


async def test_an_answer_that_is_left_breaks_its_connection(serving):
    _, wire, url = await serving([CHUNKED, b"3\r\nabc\r\n", asyncio.Event()])
    answer = await wire.post("It", url, {}, b"")
    assert await answer.chunk() == b"abc"
    answer.close()
    answer.close()
    assert not wire._connections.idle
    with pytest.raises(ProviderFailed, match="broke off"):
        await answer.chunk()


async def test_the_end_of_a_body_is_waited_for_but_not_for_long(serving, monkeypatch):
    end = asyncio.Event()
    server, wire, url = await serving([CHUNKED, b"1\r\na\r\n", end, b"1\r\nb\r\n0\r\n\r\n"], [LENGTH])
    answer = await wire.post("It", url, {}, b"")
    await answer.chunk()
    answer.complete()
    answer.close()
    assert not wire._connections.idle
    end.set()
    await until(lambda: wire._connections.idle == 1)
    await asked(wire, url)
    assert server.connections == 1

    monkeypatch.setattr(connection_module, "LINGER_S", 0.0)
    _, wire, url = await serving([CHUNKED, b"1\r\na\r\n", asyncio.Event()])
    answer = await wire.post("It", url, {}, b"")
    await answer.chunk()
    answer.complete()
    answer.close()
    await until(lambda: not wire._connections._open)
    assert not wire._connections.idle


async def test_connections_are_kept_for_a_while_and_closed_then(serving, monkeypatch):
    server, wire, url = await serving([LENGTH], [LENGTH], [LENGTH])
    await asked(wire, url)
    monkeypatch.setattr(connections_module, "KEEP_S", -1.0)
    await asked(wire, url)
    assert server.connections == 2, "one that was idle for long is not used"
    wire._connections._sweep()
    assert not wire._connections.idle
    await until(lambda: not wire._connections._open)
    await asked(wire, url)
    assert server.connections == 3


async def test_one_that_is_closed_while_idle_is_forgotten(serving):
    _, wire, url = await serving([LENGTH])
    await asked(wire, url)
    [one] = wire._connections._open
    one.abort()
    await until(lambda: not wire._connections._open)
    assert not wire._connections.idle


async def test_names_are_looked_up_once_for_all_who_ask(monkeypatch):
    asked_for, answer = [], asyncio.Event()

    async def getaddrinfo(host, port, **_how):
        asked_for.append(host)
        await answer.wait()
        if host == "nobody.example":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    names = Names()
    asks = [asyncio.create_task(names.addresses("a.example", 443)) for _ in range(3)]
    asks.append(asyncio.create_task(names.addresses("nobody.example", 443)))
    await asyncio.sleep(0)
    asks[0].cancel()
    answer.set()
    found = await asyncio.gather(*asks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1] == found[2] == [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]
    assert isinstance(found[3], socket.gaierror)
    await names.addresses("a.example", 443)
    assert sorted(asked_for) == ["a.example", "nobody.example"], "and for a moment after"
    with pytest.raises(socket.gaierror):
        await names.addresses("nobody.example", 443)
    assert len(asked_for) == 3, "a failure is not kept"


async def test_a_name_that_is_not_known(serving, monkeypatch):
    async def getaddrinfo(*_given, **_how):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    _, wire, _ = await serving()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ProviderFailed, match="It cannot be reached: its name is not known"):
        await wire.post("It", "http://nobody.example/", {}, b"")


async def test_connecting_has_an_end(serving, monkeypatch):
    async def getaddrinfo(*_given, **_how):
        await asyncio.Event().wait()

    _, wire, _ = await serving(patience=Patience(connect_s=0.01))
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ProviderLate, match="did not answer in time"):
        await wire.post("It", "http://slow.example/", {}, b"")


@pytest.fixture
def certificate(tmp_path):
    """One that signs itself, for this machine: its file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "tls.pem"
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


async def test_tls_with_a_certificate_that_is_trusted(serving, certificate, monkeypatch):
    file, tls = certificate
    monkeypatch.setattr(connections_module, "_trusting", lambda: ssl.create_default_context(cafile=file))
    server, wire, url = await serving([LENGTH], [CHUNKED, b"1\r\na\r\n0\r\n\r\n"], tls=tls)
    assert (await asked(wire, url))[1] == b"{}"
    assert (await asked(wire, url))[1] == b"a"
    assert server.connections == 1


async def test_tls_with_a_certificate_that_nobody_trusts(serving, certificate):
    server, wire, url = await serving([LENGTH], tls=certificate[1])
    with pytest.raises(ProviderFailed, match="its certificate or its TLS is not accepted"):
        await asked(wire, url)
    assert not server.requests
