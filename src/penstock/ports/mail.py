"""Sending e-mail."""

from typing import Protocol

from penstock.domain.notification import Letter


class Mailer(Protocol):
    """A way to send letters."""

    async def send(self, letter: Letter) -> None:
        """Hands the letter to a mail server; raises Temporary if that did not work now, and may later.

        Raises InvalidRequest if the server refuses the letter for good.
        """
        ...
