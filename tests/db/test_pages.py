"""Pages of long lists: each row comes once, wherever a page ends, and what follows is counted."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

import clock
from db.models import AuditEntry, LeadCharge
from db.pages import COUNTED, InvalidPosition, Page, Wanted, read_page
from db.session import transaction
from tests.billing.given import open_account
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def given_entries(number: int, *, apart: timedelta = timedelta(hours=3)) -> None:
    with owner() as connection:
        connection.execute(
            text(
                "INSERT INTO billing_audit_log (created_at, actor, door, action, subject)"
                " SELECT :begin + n * CAST(:apart AS interval), 'a', 'cli', 'x', 'y'"
                " FROM generate_series(0, :number - 1) n"
            ),
            {"begin": BEGIN, "apart": apart, "number": number},
        )


def read(wanted: Wanted) -> Page[AuditEntry]:
    with transaction() as session:
        query = select(AuditEntry).where(AuditEntry.action == "x")
        by = [AuditEntry.id]
        return read_page(session, query, wanted, by=by, time=AuditEntry.created_at, scalars=True)


def test_each_row_comes_once_and_what_follows_is_counted() -> None:
    given_entries(7)
    seen: list[int] = []
    after = None
    counts = []
    while True:
        page = read(Wanted(3, after))
        seen += [entry.id for entry in page]
        counts.append(page.more)
        after = page.after
        if after is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 7
    assert counts == [4, 1, 0]


def test_a_full_last_page_has_nothing_after_it() -> None:
    given_entries(3)
    assert (read(Wanted(3)).more, read(Wanted(3)).after) == (0, None)


def test_no_more_than_a_bounded_number_is_counted() -> None:
    given_entries(COUNTED + 50)
    assert read(Wanted(1)).more == COUNTED + 1
    assert read(Wanted(1, counted=False)).more == 0
    assert read(Wanted(1, counted=False)).after is not None


def test_a_span_of_time_has_exactly_its_rows() -> None:
    given_entries(8)
    since, until = BEGIN + timedelta(hours=6), BEGIN + timedelta(hours=15)
    found = [entry.created_at for entry in read(Wanted(100, since=since, until=until))]
    assert found == [BEGIN + timedelta(hours=hours) for hours in (12, 9, 6)]


def test_rows_of_one_moment_are_parted_by_their_key_even_if_it_has_a_comma() -> None:
    open_account("clinic:1")
    ids = [f"L,{number}" for number in range(5)]
    with owner() as connection:
        connection.execute(
            text(
                "INSERT INTO lead_charges (lead_id, account_id, state, credits,"
                " package_price_paise, occurred_at, created_at, updated_at)"
                " SELECT unnest(CAST(:ids AS text[])), (SELECT id FROM accounts), 'cancelled', 1,"
                " 1, :now, :now, :now"
            ),
            {"ids": ids, "now": clock.now()},
        )
    seen: list[str] = []
    after = None
    with transaction() as session:
        while True:
            page: Page[LeadCharge] = read_page(
                session, select(LeadCharge), Wanted(2, after), scalars=True,
                by=[LeadCharge.created_at, LeadCharge.lead_id],
            )  # fmt: skip
            seen += [lead.lead_id for lead in page]
            if (after := page.after) is None:
                break
    assert seen == sorted(ids, reverse=True)


@pytest.mark.parametrize("after", ["", "x", "1,2", "9" * 30, "1.5"])
def test_what_is_no_position_is_refused_by_name(after: str) -> None:
    with pytest.raises(InvalidPosition, match="after is not a position"):
        read(Wanted(1, after))


def test_a_span_reads_back_no_further_than_it_must() -> None:
    # Given many old rows and a span that few rows are in
    given_entries(3_000)
    with owner() as connection:
        connection.execute(text("ANALYZE billing_audit_log"))
    since = BEGIN + timedelta(hours=3 * 2_990)
    with transaction() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        page = read_page(
            session, select(AuditEntry), Wanted(20, since=since), by=[AuditEntry.id],
            time=AuditEntry.created_at, scalars=True,
        )  # fmt: skip
        plan = session.execute(
            text(
                "EXPLAIN (ANALYZE, FORMAT TEXT, TIMING OFF) SELECT * FROM billing_audit_log"
                " WHERE created_at >= :since AND id > coalesce((SELECT id FROM billing_audit_log"
                " WHERE created_at < :slack ORDER BY id DESC LIMIT 1), 0) ORDER BY id DESC LIMIT 20"
            ),
            {"since": since, "slack": since - timedelta(hours=1)},
        ).all()
    assert len(page) == 10
    removed = [line for (line,) in plan if "Rows Removed" in line]
    assert all(int(line.rsplit(" ", 1)[1]) < 20 for line in removed), plan
