"""E-mail by SMTP; the standard library's client, in a thread."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from enum import StrEnum

from penstock.domain.errors import InvalidRequest, Temporary
from penstock.domain.notification import Letter

_PERMANENT = 500


class Security(StrEnum):
    """How the connection is protected. STARTTLS and TLS check the server's certificate."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server. Without a `user` nobody is logged in."""

    host: str
    port: int
    security: Security
    sender: str
    user: str = ""
    password: str = ""
    timeout_s: float = 30.0

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


class SmtpMailer:
    """See `penstock.ports.mail.Mailer`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def send(self, letter: Letter) -> None:
        """Hands the letter to the server."""
        await asyncio.to_thread(self._send, _message(self._server.sender, letter))

    def _send(self, message: EmailMessage) -> None:
        server = self._server
        try:
            with _connected(server) as connection:
                if server.user:
                    connection.login(server.user, server.password)
                refused = connection.send_message(message)
        except smtplib.SMTPResponseException as error:
            said = f"The mail server {server!r} said {error.smtp_code}: {_text(error.smtp_error)}"
            raise (InvalidRequest(said) if error.smtp_code >= _PERMANENT else Temporary(said, 60)) from None
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(server, error.recipients) from None
        except (OSError, smtplib.SMTPException) as error:
            raise Temporary(f"The mail server {server!r} cannot be used: {error}", 60) from None
        if refused:
            # Others got it: sent again, they would get it twice.
            raise InvalidRequest(_refused(server, refused).message)


def _connected(server: Server) -> smtplib.SMTP:
    if server.security is Security.TLS:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout_s, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
    if server.security is Security.STARTTLS:
        try:
            connection.starttls(context=ssl.create_default_context())
        except BaseException:
            connection.close()
            raise
    return connection


def _refused(server: Server, recipients: dict[str, tuple[int, bytes]]) -> InvalidRequest | Temporary:
    told = ", ".join(f"{address}: {code} {_text(said)}" for address, (code, said) in recipients.items())
    said = f"The mail server {server!r} refused recipients: {told}"
    if all(code >= _PERMANENT for code, _ in recipients.values()):
        return InvalidRequest(said)
    return Temporary(said, 60)


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said


def _message(sender: str, letter: Letter) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(letter.to)
    message["Subject"] = letter.subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid()
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    return message
