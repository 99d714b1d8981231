"""The secrets of endpoints: made, encrypted, rotated. Used by `endpoints` and `leases`.

A secret is shown once, when it is made. It is stored encrypted, because it must be known again to
sign: a key that only this installation can derive (`service/signing.py`).
"""

import base64
import secrets as randomness
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.models import NoticeEndpointSecret
from service import signing
from service.signing import Label

RANDOM_BYTES = 32
"""Of a secret; the specification asks for 24 to 64."""
FORGOTTEN = b""


def create(session: Session, endpoint_id: int, *, now: datetime) -> str:
    """Give an endpoint a new secret, and return it. Raises `signing.NoWebSecret`."""
    secret = "whsec_" + base64.b64encode(randomness.token_bytes(RANDOM_BYTES)).decode()
    session.add(
        NoticeEndpointSecret(
            endpoint_id=endpoint_id,
            secret_encrypted=signing.encrypt(Label.NOTICE_SECRETS, secret.encode()),
            created_at=now,
        )
    )
    session.flush()
    return secret


def expire(session: Session, endpoint_id: int, *, now: datetime, overlap: timedelta) -> None:
    """Have the endpoint's secrets sign for `overlap` longer, and forget what has expired."""
    until = now + overlap
    of_endpoint = select(NoticeEndpointSecret).where(
        NoticeEndpointSecret.endpoint_id == endpoint_id
    )
    for known in session.scalars(of_endpoint.with_for_update()):
        known.expires_at = min(known.expires_at or until, until)
        if known.expires_at <= now:
            known.secret_encrypted = FORGOTTEN
    session.flush()


def signing_now(
    session: Session, endpoint_ids: Iterable[int], *, now: datetime
) -> Mapping[int, tuple[bytes, ...]]:
    """Return the secrets that sign now of each endpoint, newest first, encrypted."""
    found = session.execute(
        select(NoticeEndpointSecret.endpoint_id, NoticeEndpointSecret.secret_encrypted)
        .where(
            NoticeEndpointSecret.endpoint_id.in_(list(endpoint_ids)),
            or_(NoticeEndpointSecret.expires_at.is_(None), NoticeEndpointSecret.expires_at > now),
        )
        .order_by(NoticeEndpointSecret.id.desc())
    )
    known: dict[int, tuple[bytes, ...]] = {}
    for endpoint_id, encrypted in found:
        known[endpoint_id] = (*known.get(endpoint_id, ()), bytes(encrypted))
    return known


def decrypted(encrypted: Iterable[bytes]) -> tuple[str, ...]:
    """Return the secrets that can be read.

    Raises `signing.CannotDecrypt` if there are some and none can: one that cannot be read and was
    rotated for that reason must not keep the new one from signing. Raises `signing.NoWebSecret`.
    """
    found: list[str] = []
    problem: signing.CannotDecrypt | None = None
    for one in encrypted:
        try:
            found.append(signing.decrypt(Label.NOTICE_SECRETS, one).decode())
        except signing.CannotDecrypt as error:
            problem = error
    if problem is not None and not found:
        raise problem
    return tuple(found)


def encrypt_again(session: Session, *, now: datetime) -> int:
    """Encrypt by the first of WEB_SECRETS what an older one encrypts; return how many.

    What has expired is forgotten. Raises `signing.CannotDecrypt`, `signing.NoWebSecret`.
    """
    changed = 0
    known = select(NoticeEndpointSecret).where(NoticeEndpointSecret.secret_encrypted != FORGOTTEN)
    for secret in session.scalars(known.order_by(NoticeEndpointSecret.id).with_for_update()):
        if secret.expires_at is not None and secret.expires_at <= now:
            secret.secret_encrypted = FORGOTTEN
        elif not signing.is_current(Label.NOTICE_SECRETS, secret.secret_encrypted):
            plain = signing.decrypt(Label.NOTICE_SECRETS, secret.secret_encrypted)
            secret.secret_encrypted = signing.encrypt(Label.NOTICE_SECRETS, plain)
            changed += 1
    session.flush()
    return changed
