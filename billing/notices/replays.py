"""Replays."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Missed:
    """Which deliveries are meant; what is None does not narrow."""

    states: tuple[Literal["dead", "skipped", "done"], ...] = ("dead", "skipped")
    since: datetime | None = None
    """Of notices that were written at or after this time."""
    until: datetime | None = None
    topics: tuple[str, ...] = ()
    """Exact names or patterns."""
    account: str | None = None
    finished_before: datetime | None = None
    """Of deliveries that were finished before this time: a loop of batches that names its beginning
    does not take again what was replayed and is done meanwhile."""


def replay(
    session: Session,
    *,
    notice_id: int | None = None,
    missed: Missed | None = None,
    endpoint_id: int | None = None,
    dry_run: bool,
    limit: int | None = None,
) -> int:
    """Have deliveries made again under the same id and body, and return how many.

    `limit`: at most so many, the oldest first, so that a caller commits many in portions.

    Either one notice, in whatever state its deliveries are, or those that `missed` means; at every
    endpoint, or at one. With a notice and an endpoint that never was sent it (it is newer, or wants
    other topics), the delivery is written, if the notice is of its product and account.
    `dry_run`: only count. Endpoints that are off or removed are left out.

    Raises `UnknownNotice`, `NotPlacedYet`, `UnknownEndpoint`, `EndpointIsOff` for a named endpoint.
    """
    raise NotImplementedError
