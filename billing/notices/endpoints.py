"""Endpoints: who is sent what, and where."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.orm import Session

from billing.notices.leases import Lane

State = Literal["on", "failing", "off", "removed"]


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint that was added; its secret is never shown again."""

    endpoint_id: int
    secret: str = field(repr=False)
    """`whsec_` and base64, as the specification writes it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint, and how it does."""

    endpoint_id: int
    product: str | None
    account: str | None
    url: str
    description: str
    topics: tuple[str, ...]
    ordered: bool
    state: State
    state_reason: str | None
    first_failure_at: datetime | None
    consecutive_failures: int
    last_success_at: datetime | None
    paused_until: datetime | None
    lease_until: datetime | None
    created_at: datetime
    created_by: str
    pending: int
    """Deliveries that wait, counted up to `COUNTED`."""
    missed: int
    """Dead and skipped ones, counted up to `COUNTED`."""
    oldest_pending_at: datetime | None
    secrets: int
    """That sign now: two during a rotation."""


def add(
    session: Session,
    *,
    url: str,
    product: str | None,
    account: str | None = None,
    topics: Sequence[str] = ("*",),
    ordered: bool = False,
    description: str = "",
    actor: str,
    lease_until: datetime | None = None,
) -> NewEndpoint:
    """Add an endpoint, which is sent what happens from now on.

    Raises `InvalidEndpoint`, `UnknownAccount`, the errors of `topics.check_patterns`, and
    `service.signing.NoWebSecret`.
    """
    raise NotImplementedError


def get(session: Session, endpoint_id: int) -> Endpoint:
    """Return an endpoint that was not removed. Raises `UnknownEndpoint`."""
    raise NotImplementedError


def list_all(session: Session, *, product: str | None = None) -> list[Endpoint]:
    """Return the endpoints that were not removed, oldest first."""
    raise NotImplementedError


def rotate(session: Session, endpoint_id: int, *, overlap: timedelta, actor: str) -> str:
    """Give an endpoint a new secret, and return it; the old one signs too for `overlap` (7 days).

    Raises `UnknownEndpoint`, `InvalidEndpoint` for the overlap, `NoWebSecret`.
    """
    raise NotImplementedError


def enable(session: Session, endpoint_id: int, *, actor: str) -> None:
    """Switch an endpoint on, as if it had never failed; what it missed can be replayed."""
    raise NotImplementedError


def disable(session: Session, endpoint_id: int, *, reason: str, actor: str) -> None:
    """Switch an endpoint off: what is pending and what comes is skipped, and can be replayed."""
    raise NotImplementedError


def remove(session: Session, endpoint_id: int, *, actor: str) -> None:
    """Remove an endpoint for good: nothing is written for it any more. Its rows stay."""
    raise NotImplementedError


def renew_lease(session: Session, endpoint_id: int, *, until: datetime) -> None:
    """Have a listener go on until then. Raises `UnknownEndpoint` if it has ended already."""
    raise NotImplementedError


def secrets_of(session: Session, endpoint_id: int, *, now: datetime) -> tuple[str, ...]:
    """Return the secrets that sign now, newest first. Raises `service.signing.CannotDecrypt`."""
    raise NotImplementedError


def reencrypt_secrets(session: Session, *, now: datetime) -> int:
    """Encrypt again, by the first of WEB_SECRETS, each secret that an older one encrypts.

    Returns how many were. Raises `CannotDecrypt` for one that no secret decrypts.
    """
    raise NotImplementedError


def lease_test(session: Session, endpoint_id: int, *, now: datetime) -> Lane:
    """Write a notice `endpoint.test` for this endpoint alone, and lease its one delivery.

    Also if the endpoint is off. The caller calls and finishes as `tasks/` does. It is tried once
    and decides nothing about the endpoint. Raises `UnknownEndpoint`, `EndpointBusy`.
    """
    raise NotImplementedError
