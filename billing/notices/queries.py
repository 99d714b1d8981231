"""Reading notices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from db.pages import Page, Wanted

DeliveryState = Literal["pending", "done", "dead", "skipped"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call."""

    number: int
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    response_head: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice at one endpoint."""

    delivery_id: int
    endpoint_id: int
    url: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    """None: finished, or in line behind a notice of its account."""
    last_status: int | None
    last_error: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice; position, sequence and body are None until it is placed."""

    notice_id: int
    topic: str
    subject: str
    account: str | None
    product: str | None
    sequence: int | None
    position: int | None
    created_at: datetime
    request_id: str | None
    superseded: bool
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class NoticeDetails:
    """A notice, what is sent of it, and every call."""

    notice: Notice
    body: bytes | None
    attempts: Mapping[int, Sequence[Attempt]]
    """Of each delivery."""


@dataclass(frozen=True, slots=True)
class NoticeFilter:
    """Which notices are listed; what is None or empty does not narrow."""

    topics: tuple[str, ...] = ()
    account: str | None = None
    endpoint_id: int | None = None
    state: DeliveryState | None = None
    """Of a delivery (to `endpoint_id`, if one is named)."""


def list_notices(session: Session, wanted: Wanted, *, which: NoticeFilter) -> Page[Notice]:
    """Return a page of notices, newest first. Raises `UnknownAccount`, `InvalidPosition`."""
    raise NotImplementedError


def get_notice(session: Session, notice_id: int) -> NoticeDetails:
    """Return a notice and every call of it. Raises `UnknownNotice`."""
    raise NotImplementedError
