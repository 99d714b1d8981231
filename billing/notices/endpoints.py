"""Endpoints: who is sent what, and where. Each change is in the audit log.

Handed on as a module (`notices.endpoints.add`), so that the names do not repeat the area's. The
command calls it; how an endpoint does by itself is `health`'s and `outcomes`'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

import clock
from billing import accounts, audit, catalog, topics
from billing.errors import UnknownAccount
from billing.notices import leases, lines, placing, secrets, urls
from billing.notices.errors import InvalidEndpoint, UnknownEndpoint
from db.bulk import int_array
from db.models import Account, NoticeEndpoint, NoticeLane

State = Literal["on", "failing", "off", "removed"]

LONGEST_OVERLAP = timedelta(days=7)
COUNTED = 10_000
"""Deliveries of an endpoint are counted up to so many."""
_DESCRIPTION_MAX_LENGTH = 200


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
    """Dead and skipped ones but tests, counted up to `COUNTED`."""
    oldest_pending_at: datetime | None
    """When the oldest of them was written."""
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

    Without a product, for a listener of the development stack (`lease_until`), it is sent the
    notices of all. Raises `InvalidEndpoint`, `UnknownAccount`, `billing.topics.UnknownTopic`, and
    `service.signing.NoWebSecret`: nothing is sent unsigned.
    """
    known = _account(session, account, product)
    _check(product, topics, description, lease_until)
    checked = urls.checked(url, loopback_http=urls.loopback_http_is_allowed())
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
        for number in range(1, leases.MOST_LANES + 1)
    )
    secret = secrets.create(session, row.id, now=now)
    shown = {
        "url": checked, "product": product, "account": account, "topics": list(row.topics),
        "ordered": ordered,
    }  # fmt: skip
    _record(session, "endpoint.add", row.id, before=None, after=shown)
    return NewEndpoint(row.id, secret)


def get(session: Session, endpoint_id: int) -> Endpoint:
    """Return an endpoint that was not removed. Raises `UnknownEndpoint`."""
    found = _list(session, NoticeEndpoint.id == endpoint_id)
    if not found:
        raise UnknownEndpoint(endpoint_id)
    return found[0]


def list_all(session: Session, *, product: str | None = None) -> list[Endpoint]:
    """Return the endpoints that were not removed, oldest first."""
    return _list(session, *([NoticeEndpoint.product == product] if product is not None else []))


def rotate(session: Session, endpoint_id: int, *, overlap: timedelta, actor: str) -> str:  # noqa: ARG001
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


def enable(session: Session, endpoint_id: int, *, actor: str) -> None:  # noqa: ARG001
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


def disable(session: Session, endpoint_id: int, *, reason: str, actor: str) -> None:  # noqa: ARG001
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


def remove(session: Session, endpoint_id: int, *, actor: str) -> None:  # noqa: ARG001
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


_COUNTS = text(f"""
SELECT e.id, p.waiting + w.waiting AS pending, m.missed, least(p.oldest, w.oldest) AS oldest
  FROM unnest(CAST(:ids AS bigint[])) AS e(id)
  CROSS JOIN LATERAL (
       SELECT count(*) AS waiting, min(created_at) AS oldest FROM (
              SELECT d.created_at FROM notice_deliveries d
               WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.next_attempt_at IS NOT NULL
               LIMIT {COUNTED}) x) p
  CROSS JOIN LATERAL (
       SELECT count(*) AS waiting, min(created_at) AS oldest FROM (
              SELECT d.created_at FROM notice_deliveries d
               WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.line_account_id IS NOT NULL
                 AND d.next_attempt_at IS NULL LIMIT {COUNTED}) x) w
  CROSS JOIN LATERAL (
       SELECT count(*) AS missed FROM (
              SELECT FROM notice_deliveries d
               WHERE d.endpoint_id = e.id AND d.state IN ('dead', 'skipped')
                 AND NOT {placing.IS_A_TEST} LIMIT {COUNTED}) x) m
""")  # noqa: S608 - a constant


def _list(session: Session, *conditions: Any) -> list[Endpoint]:
    now = clock.now()
    rows = session.execute(
        select(NoticeEndpoint, Account.ref)
        .outerjoin(Account, Account.id == NoticeEndpoint.account_id)
        .where(
            NoticeEndpoint.state != "removed",
            or_(
                NoticeEndpoint.lease_until.is_(None), NoticeEndpoint.lease_until > clock.real_now()
            ),
            *conditions,
        )
        .order_by(NoticeEndpoint.id)
        .execution_options(populate_existing=True)
    ).all()
    ids = [row.id for row, _ in rows]
    counts: Mapping[int, Any] = {
        found.id: found for found in session.execute(_COUNTS, {"ids": int_array(ids)})
    }
    known = secrets.signing_now(session, ids, now=now)
    return [
        Endpoint(
            endpoint_id=row.id,
            product=row.product,
            account=ref,
            url=row.url,
            description=row.description,
            topics=tuple(row.topics),
            ordered=row.ordered,
            state=cast(State, row.state),
            state_reason=row.state_reason,
            first_failure_at=row.first_failure_at,
            consecutive_failures=row.consecutive_failures,
            last_success_at=row.last_success_at,
            paused_until=row.paused_until,
            lease_until=row.lease_until,
            created_at=row.created_at,
            created_by=row.created_by,
            pending=counts[row.id].pending,
            missed=counts[row.id].missed,
            oldest_pending_at=counts[row.id].oldest,
            secrets=len(known.get(row.id, ())),
        )
        for row, ref in rows
    ]
