"""What came of a call to an endpoint: `notify/http` returns it, `outcomes` judges it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

HEAD_BYTES = 1024
"""What is kept of an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one call, or why there is none."""

    status: int | None
    """None: no answer came."""
    error: str | None = None
    """In our words, without anything of the answer; None if there is an answer of 2xx."""
    retry_after: timedelta | None = None
    """The receiver asked to be left alone so long."""
    head: bytes = b""
    """The first bytes of the answer, up to `HEAD_BYTES`."""
    duration_ms: int = 0

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken the notice."""
        return self.status is not None and 200 <= self.status < 300 and self.error is None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver asks never to be called again (410)."""
        return self.status == 410

    @property
    def asks_for_less(self) -> bool:
        """Whether the receiver is overloaded or out of reach, whatever it is sent."""
        return self.status is None or self.status in {408, 425, 429} or self.status >= 500


@dataclass(frozen=True, slots=True)
class Attempted:
    """One call of a lane, which is over."""

    delivery_id: int
    lease_id: UUID
    number: int
    """`Due.attempt_number`."""
    started_at: datetime
    answer: Answer
