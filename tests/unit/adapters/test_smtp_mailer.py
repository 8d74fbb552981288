"""Letters by SMTP, to a small server on a real socket."""

import asyncio
import base64
from email import message_from_bytes, policy

import pytest

from penstock.adapters.mail.smtp import Security, Server, SmtpMailer
from penstock.domain.errors import InvalidRequest, Temporary
from penstock.domain.notification import Letter

LETTER = Letter(("a@x.org", "b@x.org"), "Endpoint one: config version 2 failed", "Zu groß.\n")


class MailServer:
    """Speaks as much SMTP as is needed. `answers` are given in place of its own, by command."""

    def __init__(self):
        self.answers = {}
        self.told = []
        self.letters = []

    async def serve(self, reader, writer):
        writer.write(b"220 mail\r\n")
        while line := (await reader.readline()).decode().strip():
            self.told.append(line)
            command = line.split(" ")[0].upper()
            own = {"EHLO": "250-mail\r\n250 AUTH PLAIN", "AUTH": "235 welcome", "DATA": "354 go on", "QUIT": "221 bye"}
            answer = self.answers.get(line, self.answers.get(command, own.get(command, "250 ok")))
            writer.write(f"{answer}\r\n".encode())
            if command == "DATA" and answer.startswith("354"):
                self.letters.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(b"250 taken\r\n")
            if command == "QUIT":
                break
        writer.close()

    @property
    def commands(self):
        return [line.split(" ")[0].upper() for line in self.told]


@pytest.fixture
async def server():
    made = MailServer()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    await listening.wait_closed()


def mailer(server, **more):
    how = {"security": Security.NONE, "sender": "penstock@x.org", "timeout_s": 10, **more}
    return SmtpMailer(Server("127.0.0.1", server.port, **how))


async def test_a_letter_arrives(server):
    await mailer(server).send(LETTER)
    [raw] = server.letters
    got = message_from_bytes(raw.removesuffix(b".\r\n"), policy=policy.default)
    assert (got["From"], got["To"], got["Subject"]) == ("penstock@x.org", "a@x.org, b@x.org", LETTER.subject)
    assert got["Date"]
    assert got["Message-ID"]
    assert got.get_content().replace("\r\n", "\n").strip() == "Zu groß."
    assert [line for line in server.told if line.startswith("rcpt")] == ["rcpt TO:<a@x.org>", "rcpt TO:<b@x.org>"]
    assert "AUTH" not in server.commands


async def test_who_logs_in(server):
    await mailer(server, user="me", password="secret").send(LETTER)
    [login] = [line for line in server.told if line.startswith("AUTH")]
    assert base64.b64decode(login.split(" ")[2]) == b"\0me\0secret"
    assert "secret" not in repr(Server("h", 25, Security.NONE, "s", "me", "secret"))


@pytest.mark.parametrize(
    ("command", "answer", "error"),
    [
        ("MAIL", "451 try later", Temporary),
        ("MAIL", "550 not you", InvalidRequest),
        ("RCPT", "550 no such mailbox", InvalidRequest),
        ("RCPT", "450 mailbox busy", Temporary),
        ("DATA", "554 no", InvalidRequest),
        ("EHLO", "421 closing", Temporary),
    ],
)
async def test_what_the_server_says_decides_whether_it_is_tried_again(server, command, answer, error):
    server.answers = {command: answer, "HELO": answer}
    with pytest.raises(error, match=answer.split(" ", 1)[1]):
        await mailer(server).send(LETTER)
    assert server.letters == []


async def test_one_recipient_of_two_is_told_once(server):
    server.answers = {"rcpt TO:<b@x.org>": "450 busy"}
    with pytest.raises(InvalidRequest, match=r"b@x\.org: 450 busy"):
        await mailer(server).send(LETTER)
    assert len(server.letters) == 1


async def test_nothing_is_sent_in_the_clear_where_tls_is_asked_for(server):
    with pytest.raises(Temporary, match="STARTTLS"):
        await mailer(server, security=Security.STARTTLS).send(LETTER)
    assert server.letters == []


async def test_a_server_that_is_not_there(server):
    port, server.port = server.port, 1
    with pytest.raises(Temporary, match="cannot be used"):
        await mailer(server).send(LETTER)
    server.port = port
