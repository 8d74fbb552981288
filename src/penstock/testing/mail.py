"""A mail server in memory."""

from dataclasses import dataclass, field

from penstock.domain.errors import PenstockError
from penstock.domain.notification import Letter


@dataclass
class FakeMailer:
    """See `penstock.ports.mail.Mailer`. Takes letters unless there is a failure left, which it raises instead."""

    letters: list[Letter] = field(default_factory=list)
    failures: list[PenstockError] = field(default_factory=list)

    async def send(self, letter: Letter) -> None:
        """Keeps the letter."""
        if self.failures:
            raise self.failures.pop(0)
        self.letters.append(letter)
