"""Opening accounts with what customers have already: a platform moves here from its own books.

Each line is one account and its opening balance. To repeat a file is safe: an account that is
there as the line has it, and an opening balance that was posted, are left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from billing.accounts import account as accounts
from billing.accounts.errors import AccountExists, InvalidAccount
from billing.errors import IdempotencyConflict
from billing.ledger import InvalidPosting, Kind, Outcome, Posting, check_posting, post
from db.models import Account
from errors import PermanentError


@dataclass(frozen=True, slots=True)
class OpeningLine:
    """One account to open, as a file has it."""

    number: int
    """Line of the file."""
    ref: str
    name: str
    product: str
    timezone: str | None = None
    balance: int = 0
    """Credits; negative: a debt that the customer brings along."""
    overdraft_limit: int | None = None
    low_balance: int | None = None
    """None, here and above: the file does not tell, an account that is there may have any."""

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
    """The account is there, and not as the line has it."""

    def __init__(self, account: str, differences: Mapping[str, tuple[object, object]]) -> None:
        told = ", ".join(
            f"{field} ({there!r}, not {given!r})" for field, (there, given) in differences.items()
        )
        super().__init__(
            f"account {account!r} exists already with other {told}:"
            f" `billing accounts show {account}`"
        )
        self.account = account
        self.differences = dict(differences)


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of a line."""

    line: OpeningLine
    created: bool
    credits: int
    """Posted now; 0 where nothing was, or was before."""
    error: PermanentError | None = None


def open_accounts(session: Session, lines: Sequence[OpeningLine], *, actor: str) -> list[Opened]:
    """Open the accounts and post their balances; return one result for each line, in order.

    A refused line (`InvalidAccount`, `OpenedOtherwise` where the account is there with other
    content, `InvalidPosting`, `IdempotencyConflict`) changes nothing and stops no other. Posts.
    """
    # Accounts are opened by reference, whatever the order of the lines: two that open the same
    # ones wait for each other, and never both at once.
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
    """Open the line's account; False where it is there already, just so."""
    try:
        accounts.create(
            session,
            ref=line.ref,
            name=line.name,
            product=line.product,
            timezone=line.timezone,
            overdraft_limit=line.overdraft_limit or 0,
            low_balance=line.low_balance,
        )
    except AccountExists:
        there = accounts.find(session, line.ref)
        if there is None:
            raise
        differences = _differences(there, line)
        if differences:
            raise OpenedOtherwise(line.ref, differences) from None
        return False
    return True


def _differences(account: Account, line: OpeningLine) -> dict[str, tuple[object, object]]:
    """Return what the account has and what the line gives, where it gives something else."""
    pairs = {
        field: (getattr(account, field), getattr(line, field))
        for field in ("name", "product", "timezone", "overdraft_limit", "low_balance")
    }
    return {
        field: (there, given)
        for field, (there, given) in pairs.items()
        if given is not None and given != there
    }
