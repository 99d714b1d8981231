"""Endpoints: who is sent what, and where. Each change is in the audit log.

Handed on as a module (`notices.endpoints.add`), so that the names do not repeat the area's. The
command calls it; how an endpoint does by itself is `health`'s and `outcomes`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

import clock
import settings
from billing import accounts, audit, catalog, topics
from billing.errors import UnknownAccount
from billing.notices import due, lines, placing, secrets, urls
from billing.notices.endpoint_list import COUNTED, Endpoint, State, get, list_all
from billing.notices.errors import InvalidEndpoint, UnknownEndpoint
from db.models import Account, NoticeEndpoint, NoticeLane

__all__ = [
    "COUNTED", "Endpoint", "LONGEST_OVERLAP", "NewEndpoint", "State", "add", "disable", "enable",
    "get", "list_all", "lock", "reencrypt_secrets", "remove", "renew_lease", "rotate", "secrets_of",
]  # fmt: skip

LONGEST_OVERLAP = timedelta(days=7)
_DESCRIPTION_MAX_LENGTH = 200


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint that was added; its secret is never shown again."""

    endpoint_id: int
    secret: str = field(repr=False)
    """`whsec_` and base64, as the specification writes it."""


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

    Without a product, for a listener of the development stack (`lease_until`), it is sent the
    notices of all. Raises `InvalidEndpoint`, `UnknownAccount`, `billing.topics.UnknownTopic`, and
    `service.signing.NoWebSecret`: nothing is sent unsigned.
    """
    known = _account(session, account, product)
    _check(product, topics, description, lease_until)
    checked = urls.checked(url, loopback_http=settings.get().is_development_stack)
    # Whatever is written after this moment is placed after this transaction, and finds its row.
    placing.lock_positions(session)
    now = clock.now()
    row = NoticeEndpoint(
        product=product, account_id=known.id if known else None, url=checked,
        description=description, topics=list(dict.fromkeys(topics)), ordered=ordered, state="on",
        lease_until=lease_until, created_at=now, created_by=actor,
        consecutive_failures=0, pause_seconds=0,
    )  # fmt: skip
    session.add(row)
    session.flush()
    session.add_all(
        NoticeLane(endpoint_id=row.id, number=number, delivery_ids=[])
        for number in range(1, due.MOST_LANES + 1)
    )
    secret = secrets.create(session, row.id, now=now)
    shown = {
        "url": checked, "product": product, "account": account, "topics": list(row.topics),
        "ordered": ordered,
    }  # fmt: skip
    _record(session, "endpoint.add", row.id, before=None, after=shown)
    return NewEndpoint(row.id, secret)


def rotate(session: Session, endpoint_id: int, *, overlap: timedelta) -> str:
    """Give an endpoint a new secret, and return it; the old one signs too for `overlap`.

    Raises `UnknownEndpoint`, `InvalidEndpoint` for an overlap over `LONGEST_OVERLAP`,
    `NoWebSecret`.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidEndpoint("overlap", f"must be from 0 to {LONGEST_OVERLAP.days} days")
    row, now = lock(session, endpoint_id), clock.now()
    secrets.expire(session, row.id, now=now, overlap=overlap)
    secret = secrets.create(session, row.id, now=now)
    after = {"old_secret_signs_until": (now + overlap).isoformat()}
    _record(session, "endpoint.rotate", row.id, before=None, after=after)
    return secret


def enable(session: Session, endpoint_id: int) -> None:
    """Switch an endpoint on, as if it had never failed; what it missed can be replayed.

    One that is on or failing is no longer left alone: what waits to be tried again is tried now.
    Raises `UnknownEndpoint`.
    """
    row = lock(session, endpoint_id)
    before = _state(row)
    row.state, row.state_reason = "on", None
    row.first_failure_at, row.consecutive_failures = None, 0
    row.pause_seconds, row.paused_until = 0, None
    session.flush()
    now = clock.now()
    session.execute(_TRY_NOW, {"id": row.id, "now": now})
    lines.straighten(session, row.id, now=now)  # some may have been skipped already
    if before != _state(row):
        _record(session, "endpoint.enable", row.id, before=before, after=_state(row))


_TRY_NOW = text("""
UPDATE notice_deliveries SET next_attempt_at = :now
 WHERE endpoint_id = :id AND state = 'pending' AND next_attempt_at > :now
""")


def disable(session: Session, endpoint_id: int, *, reason: str) -> None:
    """Switch an endpoint off: what is pending and what comes is skipped, and can be replayed.

    Raises `UnknownEndpoint`, `InvalidEndpoint` for a reason that is empty or too long.
    """
    if not 1 <= len(reason.strip()) <= _DESCRIPTION_MAX_LENGTH or not reason.isprintable():
        raise InvalidEndpoint("reason", f"must be 1 to {_DESCRIPTION_MAX_LENGTH} characters")
    row = lock(session, endpoint_id)
    before = _state(row)
    row.state, row.state_reason = "off", reason.strip()
    if before != _state(row):
        _record(session, "endpoint.disable", row.id, before=before, after=_state(row))


def remove(session: Session, endpoint_id: int) -> None:
    """Remove an endpoint for good: nothing is written for it any more. Its rows stay.

    Raises `UnknownEndpoint`.
    """
    row = lock(session, endpoint_id)
    before = _state(row)
    row.state, row.state_reason = "removed", "removed by hand"
    secrets.expire(session, row.id, now=clock.now(), overlap=timedelta(0))
    _record(session, "endpoint.remove", row.id, before=before, after=_state(row))


def renew_lease(session: Session, endpoint_id: int, *, until: datetime) -> None:
    """Have a listener go on until then. Raises `UnknownEndpoint` if it has ended already."""
    row = lock(session, endpoint_id)
    if row.lease_until is None or row.lease_until <= clock.real_now():
        raise UnknownEndpoint(endpoint_id)
    row.lease_until = until


def secrets_of(session: Session, endpoint_id: int, *, now: datetime) -> tuple[str, ...]:
    """Return the secrets that sign now, newest first.

    Raises `service.signing.CannotDecrypt`, `service.signing.NoWebSecret`.
    """
    return secrets.decrypted(
        secrets.signing_now(session, [endpoint_id], now=now).get(endpoint_id, ())
    )


def reencrypt_secrets(session: Session, *, now: datetime) -> int:
    """Encrypt again, by the first of WEB_SECRETS, each secret that an older one encrypts.

    Returns how many were. Raises `CannotDecrypt` for one that no secret decrypts.
    """
    changed = secrets.encrypt_again(session, now=now)
    if changed:
        audit.record(
            session, "endpoint.reencrypt", "endpoints", before=None, after={"secrets": changed}
        )
    return changed


def lock(session: Session, endpoint_id: int) -> NoticeEndpoint:
    """Return the row of an endpoint that was not removed, locked. Raises `UnknownEndpoint`."""
    row = session.scalars(
        select(NoticeEndpoint)
        .where(NoticeEndpoint.id == endpoint_id, NoticeEndpoint.state != "removed")
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise UnknownEndpoint(endpoint_id)
    return row


def _account(session: Session, ref: str | None, product: str | None) -> Account | None:
    if ref is None:
        return None
    found = accounts.find_in_reach(session, ref, product=None, account_id=None)
    if found is None:
        raise UnknownAccount(ref)
    if product is not None and found.product != product:
        raise InvalidEndpoint("account", f"is of the product {found.product}, not of {product}")
    return found


def _check(
    product: str | None, patterns: Sequence[str], description: str, lease_until: datetime | None
) -> None:
    if product is None and lease_until is None:
        raise InvalidEndpoint("product", "must be named: an endpoint hears of one product")
    known = catalog.get().products
    if product is not None and product not in known:
        raise InvalidEndpoint("product", f"must be one of {', '.join(known)}")
    if not patterns:
        raise InvalidEndpoint("topics", "must name one topic at least, or `*` for all")
    topics.check_patterns(patterns, among=topics.PLATFORM_TOPICS)
    if len(description) > _DESCRIPTION_MAX_LENGTH or (
        description and not description.isprintable()
    ):
        raise InvalidEndpoint(
            "description", f"must be one line of at most {_DESCRIPTION_MAX_LENGTH} characters"
        )


def _state(row: NoticeEndpoint) -> dict[str, Any]:
    return {"state": row.state, "reason": row.state_reason}


def _record(
    session: Session,
    action: str,
    endpoint_id: int,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    session.flush()
    audit.record(session, action, f"endpoint:{endpoint_id}", before=before, after=after)
