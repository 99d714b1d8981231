"""API keys: the scopes of each, and the product or account that it is limited to.

The keys of the setting API_KEYS are for a first start and for the operator's own services: they
have every scope and no limit. All other keys are created here for one product or one account and
see nothing else.

A created key is 32 random bytes. Nobody can guess it, so its plain SHA-256 is as safe to store as a
slow hash, and checking it delays no request. The key itself is shown once.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import Session

import clock
import settings
from billing import accounts, audit, catalog
from billing.access.errors import ApiKeyExists, InvalidApiKey, UnknownApiKey
from billing.errors import UnknownAccount
from db.models import Account, ApiKey
from db.pages import Page, Wanted, read_page

SCOPES = {
    "leads:read": "what became of a lead",
    "leads:write": "asking for a lead to be charged",
    "accounts:read": "what an account has, and its transactions",
    "accounts:write": "opening accounts, and changing them",
    "accounts:limits": "setting how much more than they have accounts may spend (overdraft_limit)",
    "catalog:read": "what is sold, and what it costs",
    "orders:write": "ordering credit, and having its payment verified",
    "orders:read": "what became of an order",
    "refunds:write": "giving the money of payments back",
    "refunds:read": "what became of a refund",
    "payments:read": "the payments of an account",
    "disputes:read": "the disputes of an account",
    "disputes:write": "disputing a lead, and withdrawing a dispute",
    "credits:read": "what became of a hold",
    "credits:spend": "charging credit, and holding it",
    "events:read": "what happened: the notices about accounts",
    "contacts:read": "the addresses that an account's mails go to",
    "contacts:write": "adding such addresses, and removing them",
}
"""Scope -> what it allows. Each resource of the API adds its own; older keys keep their scopes."""

ONLY_BY_NAME = frozenset({"accounts:limits"})
"""Scopes that a new key has only if they are asked for: a platform grants itself credit by them."""

PREFIX = "bk_"
"""Identifies a key to a person and to a scanner for leaked secrets."""
RANDOM_BYTES = 32
_LENGTH = len(PREFIX) + 43
"""The url-safe base64 of 32 bytes, without padding, is 43 characters."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of the API, as its key says. Without product and account it may see all."""

    name: str
    product: str | None
    account_id: int | None
    scopes: frozenset[str]
    key_id: int | None = None
    """The row of a created key; None for a key of API_KEYS."""

    @property
    def identity(self) -> str:
        """What its Idempotency-Keys belong to: no two keys have the same.

        A created key is its row. A key of API_KEYS is its name there, so that another secret under
        the name goes on where the first one stopped. No name begins with `#`.
        """
        return self.name if self.key_id is None else f"#{self.key_id}"

    @property
    def reach(self) -> str | None:
        """What it may see, to compare; None: all."""
        if self.account_id is not None:
            return f"account:{self.account_id}"
        return None if self.product is None else f"product:{self.product}"

    @property
    def label(self) -> str:
        """What it is called where people read: its name, with its number if two keys share that."""
        if self.key_id is not None and self.name in settings.get().api_keys:
            return f"{self.name}{self.identity}"  # not the key of API_KEYS with this name
        return self.name

    @property
    def actor(self) -> str:
        """Its name in the audit log and the ledger."""
        return f"api-key:{self.label}"


def configured(key: str) -> Caller | None:
    """Return the caller of a key of API_KEYS, or None; reads no database."""
    found = None
    for name, secret in settings.get().api_keys.items():
        # All are compared, in constant time: the delay of the answer reveals nothing of the keys.
        if hmac.compare_digest(_digest(secret.get_secret_value()), _digest(key)):
            found = Caller(name, None, None, frozenset(SCOPES))
    return found


def could_be_made_here(key: str) -> bool:
    """Return whether `key` has the form of a created key, so that it is worth a look-up."""
    return key.startswith(PREFIX) and len(key) == _LENGTH


_MADE_HERE = """
SELECT name, product, account_id, scopes, id FROM api_keys
 WHERE key_sha256 = %s AND revoked_at IS NULL
"""


def made_here(cursor: DBAPICursor, key: str) -> Caller | None:
    """Return the caller of a created key that is not revoked, or None.

    One statement, for `db.session.pooled_statement`: every request of the API begins with it.
    """
    cursor.execute(_MADE_HERE, (_digest(key),))
    row = cursor.fetchone()
    if row is None:
        return None
    name, product, account_id, scopes, key_id = row
    return Caller(name, product, account_id, frozenset(scopes), key_id)


def create(
    session: Session,
    *,
    name: str,
    product: str | None = None,
    account: str | None = None,
    scopes: Sequence[str] = (),
) -> str:
    """Create a key for one product or one account (its reference) and return it.

    The key cannot be read again later. `scopes` are some of `SCOPES`; none given: all of
    today's except `ONLY_BY_NAME`.
    Raises `InvalidApiKey`, which names the field, `UnknownAccount` or `ApiKeyExists`.
    """
    _check(name, product, account, scopes)
    found = accounts.find(session, account) if account is not None else None
    if account is not None and found is None:
        raise UnknownAccount(account)
    allowed = sorted(set(scopes) or SCOPES.keys() - ONLY_BY_NAME)
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    created = session.scalar(
        insert(ApiKey)
        .values(
            name=name,
            key_sha256=_digest(key),
            product=product,
            account_id=found.id if found else None,
            scopes=allowed,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=[ApiKey.name])
        .returning(ApiKey.id)
    )
    if created is None:
        raise ApiKeyExists(name)
    reach = {"product": product} if product is not None else {"account": account}
    audit.record(
        session,
        "api_key.created",
        f"api-key:{name}",
        before=None,
        after={**reach, "scopes": allowed},
    )
    return key


def revoke(session: Session, name: str) -> ApiKey:
    """Revoke a key and return it; again changes nothing.

    Raises `UnknownApiKey`, also for a key of API_KEYS: it is revoked by removing it there.
    """
    key = session.scalars(select(ApiKey).where(ApiKey.name == name).with_for_update()).one_or_none()
    if key is None:
        raise UnknownApiKey(name)
    if key.revoked_at is None:
        key.revoked_at = clock.now()
        audit.record(
            session,
            "api_key.revoked",
            f"api-key:{name}",
            before={"revoked_at": None},
            after={"revoked_at": key.revoked_at.isoformat()},
        )
    return key


def list_by_name(session: Session, wanted: Wanted) -> Page[tuple[ApiKey, str | None]]:
    """Return the created keys with their accounts' references, by name."""
    query = select(ApiKey, Account.ref).outerjoin(Account, Account.id == ApiKey.account_id)
    return read_page(session, query, wanted, by=[ApiKey.name], descending=False)


def _check(name: str, product: str | None, account: str | None, scopes: Sequence[str]) -> None:
    if not settings.API_KEY_NAME.fullmatch(name):
        raise InvalidApiKey(
            "name", "must be at most 100 letters, digits, dots, underscores and hyphens"
        )
    if name in settings.get().api_keys:
        raise ApiKeyExists(name)
    if (product is None) == (account is None):
        raise InvalidApiKey("reach", "must be one product or one account")
    products = catalog.get().products
    if product is not None and product not in products:
        raise InvalidApiKey("product", f"must be one of {', '.join(products)}, not {product!r}")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise InvalidApiKey(
            "scope", f"must be one of {', '.join(SCOPES)}, not {', '.join(unknown)}"
        )


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
