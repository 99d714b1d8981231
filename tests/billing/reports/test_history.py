"""Reading the ledger: pages, filters, balances at any time, statements, what is outstanding."""

from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing.errors import UnknownAccount
from billing.ledger import Kind
from billing.reports import history
from billing.reports.history import Filter, InvalidReading, KindTotal, Outstanding, UnreadableRow
from db.session import transaction
from tests.billing.given import give, open_account, post_all, take
from tests.tampering import tamper

pytestmark = pytest.mark.usefixtures("database")

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def versions(wanted: Filter | None = None, *, before_version: int | None = None) -> list[int]:
    with transaction() as session:
        rows = history.list_transactions(
            session, "clinic:42", wanted=wanted, before_version=before_version
        )
        return [row.version for row in rows]


def balance_at(at: datetime, by: history.TimeKind = "written") -> int:
    with transaction() as session:
        return history.balance_at(session, "clinic:42", at, by=by)


@pytest.fixture
def three_hours(database: str) -> None:
    """Credit at noon, a charge an hour later that had happened before noon, another at two."""
    with clock.frozen(NOON):
        open_account(credits_=100)
    with clock.frozen(NOON + HOUR):
        post_all(take(30, key="late", event_at=NOON - HOUR, lead_id="L-1"))
    with clock.frozen(NOON + 2 * HOUR):
        post_all(take(20, key="last", payment_id="pay_1"))


def test_pages_go_back_in_time_without_a_gap_though_rows_come_in_between() -> None:
    open_account(credits_=1_000)
    post_all(*[take(1, key=f"t{i}") for i in range(44)])
    first = versions()
    post_all(take(1, key="meanwhile"))
    second = versions(before_version=first[-1])
    third = versions(before_version=second[-1])
    assert first + second + third == list(range(45, 0, -1))
    assert (len(first), len(second), len(third)) == (20, 20, 5)


@pytest.mark.usefixtures("three_hours")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(kind="goodwill"), [1]),
        (Filter(kind="lead_charge"), [3, 2]),
        (Filter(lead_id="L-1"), [2]),
        (Filter(payment_id="pay_1"), [3]),
        (Filter(since=NOON), [3, 1]),
        (Filter(until=NOON), [2]),
        (Filter(since=NOON, until=NOON + 2 * HOUR), [1]),
        (Filter(kind="lead_charge", since=NOON), [3]),
        (Filter(lead_id="L-2"), []),
    ],
)
def test_filters_bound_the_history(wanted: Filter, found: list[int]) -> None:
    assert versions(wanted) == found


@pytest.mark.usefixtures("three_hours")
@pytest.mark.parametrize(
    ("after", "written", "event"),
    [
        (-2 * HOUR, 0, 0),
        (-HOUR, 0, -30),
        (-timedelta(microseconds=1), 0, -30),
        (0 * HOUR, 100, 70),
        (HOUR, 70, 70),
        (2 * HOUR - timedelta(microseconds=1), 70, 70),
        (2 * HOUR, 50, 50),
        (timedelta(days=999), 50, 50),
    ],
)
def test_the_balance_at_an_instant_by_what_was_written_and_by_what_had_happened(
    after: timedelta, written: int, event: int
) -> None:
    assert balance_at(NOON + after) == written
    assert balance_at(NOON + after, "event") == event


@pytest.mark.usefixtures("three_hours")
def test_a_statement_opens_moves_and_closes_and_the_next_one_opens_where_it_closed() -> None:
    with transaction() as session:
        first = history.statement(session, "clinic:42", start=NOON, end=NOON + 2 * HOUR)
        second = history.statement(session, "clinic:42", start=NOON + 2 * HOUR, end=NOON + 9 * HOUR)
    assert (first.opening, first.closing) == (0, 70)
    assert first.totals == [KindTotal("goodwill", 1, 100), KindTotal("lead_charge", 1, -30)]
    assert (second.opening, second.closing) == (70, 50)


def test_outstanding_credit_is_paid_or_promotional_and_debt_is_not_netted() -> None:
    open_account("clinic:1")
    open_account("clinic:2", overdraft_limit=50)
    post_all(
        give(100, key="a", account="clinic:1", kind=Kind.TOP_UP),
        give(10, key="b", account="clinic:1", kind=Kind.BONUS),
        give(5, key="c", account="clinic:1", kind=Kind.GRANT),
        take(3, key="d", account="clinic:1"),
        take(40, key="e", account="clinic:2"),
    )
    with transaction() as session:
        assert history.outstanding(session) == [
            Outstanding("clinic_leads", paid=100, promotional=12, held=0, debt=40)
        ]


def test_an_unknown_account_has_no_history() -> None:
    with transaction() as session:
        with pytest.raises(UnknownAccount):
            history.list_transactions(session, "clinic:none")
        with pytest.raises(UnknownAccount):
            history.statement(session, "clinic:none", start=NOON, end=NOON)
        with pytest.raises(UnknownAccount):
            history.balance_at(session, "clinic:none", NOON)


@pytest.mark.parametrize("number", [0, -1, 2**63, 1.0, True])
def test_a_page_is_of_a_number_of_rows_before_a_version(number: int) -> None:
    open_account()
    with transaction() as session:
        with pytest.raises(InvalidReading, match="limit must be"):
            history.list_transactions(session, "clinic:42", limit=number)
        with pytest.raises(InvalidReading, match="before_version must be"):
            history.list_transactions(session, "clinic:42", before_version=number)


def test_a_time_without_a_zone_is_refused_by_its_field() -> None:
    open_account()
    naive = NOON.replace(tzinfo=None)
    with transaction() as session:
        for field in ("since", "until"):
            with pytest.raises(InvalidReading, match=f"{field} must be a time with a zone"):
                history.list_transactions(session, "clinic:42", wanted=Filter(**{field: naive}))  # type: ignore[arg-type]
        with pytest.raises(InvalidReading, match="at must be a time with a zone"):
            history.balance_at(session, "clinic:42", naive)
        with pytest.raises(InvalidReading, match="start must be a time with a zone"):
            history.statement(session, "clinic:42", start=naive, end=NOON)
        with pytest.raises(InvalidReading, match="end must be a time with a zone"):
            history.statement(session, "clinic:42", start=NOON, end=naive)


@pytest.mark.parametrize("column", ["event_at", "created_at"])
@pytest.mark.parametrize("time", ["20000-01-01", "0044-03-15 BC"])
def test_a_row_whose_time_cannot_be_is_an_error_that_says_where_to_look(
    column: str, time: str
) -> None:
    open_account(credits_=10)
    tamper(
        f"ALTER TABLE credit_transactions DROP CONSTRAINT ck_credit_transactions_{column}",
        f"UPDATE credit_transactions SET {column} = '{time}'",
    )
    with pytest.raises(UnreadableRow, match=r"clinic:42.*ledger verify"), transaction() as session:
        history.list_transactions(session, "clinic:42")
