"""Reading accounts: by reference, within a caller's reach, and their funds."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select, text, true
from sqlalchemy.orm import Session

from billing.ledger import availability
from billing.text import REF_MAX_LENGTH, problem_with
from db.models import Account
from db.pages import Page, Wanted, read_page


def find(session: Session, ref: str) -> Account | None:
    """Return the account of a reference, or None."""
    return session.scalars(select(Account).where(Account.ref == ref)).one_or_none()


def product_of(session: Session, account_id: int) -> str:
    """Return the product of an account that exists."""
    return session.scalars(select(Account.product).where(Account.id == account_id)).one()


def in_reach(product: str | None, account_id: int | None) -> ColumnElement[bool]:
    """Return the SQL condition for the accounts of `product`, for the one account, or for all."""
    within: list[ColumnElement[bool]] = [true()]
    if product is not None:
        within.append(Account.product == product)
    if account_id is not None:
        within.append(Account.id == account_id)
    return and_(*within)


def find_in_reach(
    session: Session, ref: str, *, product: str | None, account_id: int | None
) -> Account | None:
    """Return the account; None if it does not exist or is out of reach (`in_reach`)."""
    if problem_with(ref, max_length=REF_MAX_LENGTH):
        return None  # no account has such a reference, and PostgreSQL may refuse it
    return session.scalars(
        select(Account).where(Account.ref == ref, in_reach(product, account_id))
    ).one_or_none()


def list_by_ref(session: Session, wanted: Wanted, *, review: bool = False) -> Page[Account]:
    """Return accounts, by reference; `review`: only those that a person should review."""
    query = select(Account)
    if review:
        query = query.where(Account.review_reason.is_not(None))
    return read_page(session, query, wanted, by=[Account.ref], descending=False, scalars=True)


def list_in_reach(
    session: Session,
    *,
    product: str | None,
    account_id: int | None,
    of_product: str | None = None,
    after: str | None = None,
    limit: int,
) -> Sequence[Account]:
    """Return the accounts in reach (`in_reach`) by reference, from behind the reference `after`.

    `of_product`: only accounts of this product. References are in the order of the database, which
    is also the order that `after` goes on in.
    """
    query = select(Account).where(in_reach(product, account_id))
    if of_product is not None:
        query = query.where(Account.product == of_product)
    if after is not None:
        query = query.where(Account.ref > after)
    return session.scalars(query.order_by(Account.ref).limit(limit)).all()


def available(account: Account) -> int:
    """Return the credits that can be spent now."""
    return availability.available(
        balance=account.balance, held=account.held, overdraft_limit=account.overdraft_limit
    )


@dataclass(frozen=True, slots=True)
class Funds:
    """The credits of an account at one moment."""

    balance: int
    held: int
    available: int


def funds_of(account: Account) -> Funds:
    """Return an account's funds as of when its row was read."""
    return Funds(account.balance, account.held, available(account))


_FUNDS = text("""
SELECT balance, held, overdraft_limit FROM accounts WHERE id = :id
""")


def get_funds(session: Session, account_id: int) -> Funds:
    """Return an account's funds as the transaction has left them."""
    balance, held, overdraft_limit = session.execute(_FUNDS, {"id": account_id}).one()
    spendable = availability.available(balance=balance, held=held, overdraft_limit=overdraft_limit)
    return Funds(balance, held, spendable)
