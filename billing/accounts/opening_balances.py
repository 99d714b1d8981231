"""Opening accounts with balances from other books, when a platform moves here.

Each line is one account and its opening balance. Repeating a file is safe: accounts that already
match their line and opening balances that are already posted are left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from billing.accounts.changes import create
from billing.accounts.errors import AccountExists, InvalidAccount
from billing.accounts.queries import find
from billing.errors import IdempotencyConflict
from billing.ledger import InvalidPosting, Kind, Outcome, Posting, check_posting, post
from db.models import Account
from errors import PermanentError


@dataclass(frozen=True, slots=True)
class OpeningLine:
    """One account to open, as a line of a file describes it."""

    number: int
    """Number of the line in the file."""
    ref: str
    name: str
    product: str
    timezone: str | None = None
    balance: int = 0
    """Credits; negative: a debt of the customer."""
    overdraft_limit: int | None = None
    low_balance: int | None = None
    """None, here and above: the file does not say, so an existing account may have any value."""

    def posting(self, actor: str) -> Posting:
        """Return the posting of the opening balance."""
        return Posting(
            account=self.ref,
            amount=self.balance,
            kind=Kind.OPENING_BALANCE,
            idempotency_key=f"opening:{self.ref}",
            actor=actor,
            description="Opening balance",
        )


class OpenedOtherwise(PermanentError):
    """The account exists and does not match the line."""

    def __init__(self, account: str, differences: Mapping[str, tuple[object, object]]) -> None:
        listed = ", ".join(
            f"{field} ({existing!r}, not {given!r})"
            for field, (existing, given) in differences.items()
        )
        super().__init__(
            f"account {account!r} already exists with other {listed}:"
            f" see `billing accounts show {account}`"
        )
        self.account = account
        self.differences = dict(differences)


@dataclass(frozen=True, slots=True)
class Opened:
    """The result of a line."""

    line: OpeningLine
    created: bool
    credits: int
    """Credits posted now; 0 if there were none or they were already posted."""
    error: PermanentError | None = None


def open_accounts(session: Session, lines: Sequence[OpeningLine], *, actor: str) -> list[Opened]:
    """Open the accounts and post their balances; return one result for each line, in order.

    A refused line (`InvalidAccount`, `OpenedOtherwise`, `InvalidPosting`, `IdempotencyConflict`)
    changes nothing and does not stop the others. Posts.
    """
    # Accounts are opened in the order of their references, so that two transactions that open the
    # same ones cannot deadlock.
    by_ref = sorted(range(len(lines)), key=lambda i: lines[i].ref)
    opened_at = {i: _open(session, lines[i], actor) for i in by_ref}
    results = [opened_at[i] for i in range(len(lines))]
    to_post = [
        i for i, opened in enumerate(results) if opened.error is None and opened.line.balance
    ]
    posted = post(session, [results[i].line.posting(actor) for i in to_post])
    for i, result in zip(to_post, posted, strict=True):
        line = results[i].line
        if isinstance(result.error, IdempotencyConflict):
            results[i] = Opened(line, created=False, credits=0, error=result.error)
        elif result.applied_or_raise().outcome is Outcome.APPLIED:
            results[i] = Opened(line, results[i].created, line.balance)
    return results


def _open(session: Session, line: OpeningLine, actor: str) -> Opened:
    try:
        if line.balance:
            check_posting(line.posting(actor))
        return Opened(line, _create(session, line), 0)
    except (InvalidAccount, InvalidPosting, OpenedOtherwise) as error:
        return Opened(line, created=False, credits=0, error=error)


def _create(session: Session, line: OpeningLine) -> bool:
    """Open the line's account; return False if it already exists as described."""
    try:
        create(
            session,
            ref=line.ref,
            name=line.name,
            product=line.product,
            timezone=line.timezone,
            overdraft_limit=line.overdraft_limit or 0,
            low_balance=line.low_balance,
        )
    except AccountExists:
        existing = find(session, line.ref)
        if existing is None:
            raise
        differences = _differences(existing, line)
        if differences:
            raise OpenedOtherwise(line.ref, differences) from None
        return False
    return True


def _differences(account: Account, line: OpeningLine) -> dict[str, tuple[object, object]]:
    """Return field -> (existing, given) for all that the line gives otherwise."""
    pairs = {
        field: (getattr(account, field), getattr(line, field))
        for field in ("name", "product", "timezone", "overdraft_limit", "low_balance")
    }
    return {
        field: (existing, given)
        for field, (existing, given) in pairs.items()
        if given is not None and given != existing
    }
