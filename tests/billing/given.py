"""Short ways to say Given in the tests of the rules."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import text

from billing import accounts, audit, verification
from billing.ledger import Kind, Posting, PostingResult, post
from db.session import snapshot, transaction
from errors import PermanentError


def open_account(ref: str = "clinic:42", *, credits_: int = 0, overdraft_limit: int = 0) -> str:
    """An account with `credits_` of goodwill on it; its reference."""
    with transaction() as session:
        accounts.create(
            session, ref=ref, name="City Clinic", product="clinic_leads",
            overdraft_limit=overdraft_limit,
        )  # fmt: skip
    if credits_:
        post_all(give(credits_, account=ref, key=f"opening:{ref}"))
    return ref


def give(
    amount: int, *, key: str, account: str = "clinic:42", kind: Kind = Kind.GOODWILL, **more: object
) -> Posting:
    """A posting that adds credit."""
    return Posting(account, amount, kind, key, "test", **more)  # type: ignore[arg-type]


def take(amount: int, *, key: str, account: str = "clinic:42", **more: object) -> Posting:
    """A posting that charges credit."""
    return Posting(account, -amount, Kind.LEAD_CHARGE, key, "test", **more)  # type: ignore[arg-type]


def post_all(*postings: Posting) -> list[PostingResult]:
    """Post in one transaction of its own."""
    with transaction() as session:
        return post(session, postings)


def balance(ref: str = "clinic:42") -> int:
    with transaction() as session:
        account = accounts.find(session, ref)
        assert account is not None
        return account.balance


def rows(query: str, **parameters: object) -> Sequence[tuple[object, ...]]:
    """The rows of a query, as tuples."""
    with transaction() as session:
        return [tuple(row) for row in session.execute(text(query), parameters)]


def at_once(*asks: Callable[[], object]) -> list[object]:
    """Ask everything at the same moment, each in a thread; each one's answer or refusal."""
    together = Barrier(len(asks))

    def ask(one: Callable[[], object]) -> object:
        together.wait()
        try:
            with audit.asked_by("test", door="cli"):
                return one()
        except PermanentError as error:
            return error

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(ask, asks))


def assert_ledger_is_clean() -> None:
    """Every invariant of the ledger holds."""
    with snapshot() as session:
        found = verification.verify(session).breaches
        assert found == [], found
