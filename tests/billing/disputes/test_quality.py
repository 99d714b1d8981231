"""Quality scores: what counts, the boundaries of the grades, the window, and the review."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import disputes
from billing.disputes import quality
from billing.disputes.quality import SubjectKind
from db.models import QualityScore
from db.session import transaction
from tasks.disputes import door as tasks
from tests.billing.disputes.given import (
    approve,
    charge,
    dispute,
    dispute_all,
    meanwhile,
    reject,
    withdraw,
)
from tests.billing.given import at_once, balance, open_account, rows

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
WINDOW = timedelta(days=90)


def rescore() -> None:
    """What a tick does that finds it due."""
    with transaction() as session:
        quality.rescore_all(session)
        for account_id in quality.accounts_to_flag(session):
            quality.update_flag(session, account_id)


def score(
    subject: str = "clinic:42", kind: SubjectKind = "account"
) -> tuple[int, int, str | None, bool] | None:
    """(leads, disputes, grade, needs review) as they stand."""
    with transaction() as session:
        found = quality.find(session, subject, kind=kind)
        if found is None:
            return None
        return found.leads, found.disputes, found.grade, found.needs_review


def leads(count: int, *, disputed: int = 0, prefix: str = "L", source: str | None = "ads") -> None:
    """Charged leads of clinic:42, the first of them in dispute."""
    ids = [f"{prefix}-{n}" for n in range(count)]
    charge(*ids, source=source)
    dispute_all(ids[:disputed])


def review_reason() -> object:
    [(reason,)] = rows("SELECT review_reason FROM accounts WHERE ref = 'clinic:42'")
    return reason


def notices(topic: str = "account.review") -> int:
    return len(rows("SELECT 1 FROM outbox_events WHERE topic = :topic", topic=topic))


@pytest.mark.parametrize(
    ("count", "disputed", "grade", "review"),
    [
        (19, 19, None, False),
        (20, 0, "good", False),
        (20, 1, "good", False),
        (20, 2, "average", False),
        (20, 4, "average", False),
        (20, 5, "poor", False),
        (20, 15, "poor", False),
        (20, 16, "poor", True),
        (20, 20, "poor", True),
        (101, 10, "good", False),
        (101, 11, "average", False),
        (101, 25, "average", False),
        (101, 26, "poor", False),
    ],
)
def test_the_grade_follows_the_rate_from_the_minimum_sample_on(
    count: int, disputed: int, grade: str | None, review: bool
) -> None:
    open_account(credits_=100_000)
    leads(count, disputed=disputed)

    rescore()

    assert score() == (count, disputed, grade, review)
    # And a source, which nobody reviews, by the same numbers
    assert score("ads", "source") == (count, disputed, grade, False)


def test_what_counts_as_disputed() -> None:
    # Given 24 leads: one in each state of a dispute, one that was disputed twice
    open_account(credits_=100_000)
    leads(24)
    ids = [dispute(f"L-{n}") for n in range(6)]
    approve(ids[1])
    approve(ids[2], amount=5)
    reject(ids[3])
    withdraw(ids[4])
    withdraw(ids[5])
    dispute("L-5", key="again")

    rescore()

    # Then the account's are all but the withdrawn ones, and the source's not the rejected one
    assert score() == (24, 5, "average", False)
    assert score("ads", "source") == (24, 4, "average", False)


def test_leads_that_cost_nothing_do_not_count_and_those_without_a_source_count_for_nobody() -> None:
    open_account(credits_=360)
    charge("L-1", source=None)
    charge("L-2", "parked-1", source="ads")

    rescore()

    assert score() == (2, 0, None, False)
    assert score("ads", "source") == (1, 0, None, False)
    assert rows("SELECT count(*) FROM quality_scores") == [(2,)]


def test_the_window_goes_with_the_time_and_what_left_it_has_no_grade() -> None:
    with clock.frozen(NOW):
        open_account(credits_=100_000)
        leads(20, disputed=20)
    with clock.frozen(NOW + timedelta(days=1)):
        leads(10, prefix="late")
    # At the last moment of the first day's leads, they count
    with clock.frozen(NOW + WINDOW - timedelta(microseconds=1)):
        rescore()
        assert score() == (30, 20, "poor", False)
    # A moment later they do not
    with clock.frozen(NOW + WINDOW):
        rescore()
        assert score() == (10, 0, None, False)
        assert score("ads", "source") == (10, 0, None, False)
    # And a subject without leads has no grade
    with clock.frozen(NOW + 2 * WINDOW):
        rescore()
        assert score() == (0, 0, None, False)


def test_a_resolution_computes_its_account_and_source_at_once() -> None:
    open_account(credits_=100_000)
    open_account("clinic:7", credits_=100_000)
    leads(20, disputed=4)
    charge("other-1", account="clinic:7", source="walk-in")
    id_ = dispute("L-10")

    reject(id_)

    assert score() == (20, 5, "poor", False)
    assert score("ads", "source") == (20, 4, "average", False)
    # And nobody else's
    assert score("clinic:7") is None
    assert score("walk-in", "source") is None


def test_an_account_that_disputes_most_leads_is_put_up_for_review_once_and_charged_as_ever() -> (
    None
):
    open_account(credits_=100_000)
    leads(20, disputed=16)

    for _ in range(3):
        rescore()

    assert review_reason() == "disputes_most_leads"
    assert notices() == 1
    assert rows("SELECT payload FROM outbox_events WHERE topic = 'account.review'") == [
        ({"account": "clinic:42", "review_reason": "disputes_most_leads", "leads": 20,
          "disputes": 16},)
    ]  # fmt: skip
    before = balance()
    charge("one more")
    assert balance() == before - 180
    assert dispute("one more")


def test_an_account_all_of_whose_disputes_are_rejected_is_reviewed_too() -> None:
    open_account(credits_=100_000)
    leads(20)
    for n in range(16):
        reject(dispute(f"L-{n}"))

    assert score() == (20, 16, "poor", True)
    assert review_reason() == "disputes_most_leads"
    assert score("ads", "source") == (20, 0, "good", False)


def test_the_review_ends_when_the_rate_falls_and_both_are_on_the_audit_log() -> None:
    open_account(credits_=100_000)
    leads(20, disputed=15)
    id_ = dispute("L-19")
    rescore()

    withdraw(id_)

    assert review_reason() is None
    assert rows(
        "SELECT action, before, after FROM billing_audit_log WHERE action LIKE 'account.review%'"
        " ORDER BY id"
    ) == [
        ("account.review", {"review_reason": None}, {"review_reason": "disputes_most_leads"}),
        ("account.review_ended", {"review_reason": "disputes_most_leads"}, {"review_reason": None}),
    ]


def test_another_reason_for_a_review_stays() -> None:
    open_account(credits_=100_000)
    with transaction() as session:
        session.execute(text("UPDATE accounts SET review_reason = 'chargeback'"))
    leads(20, disputed=16)

    rescore()
    assert (review_reason(), notices()) == ("chargeback", 0)
    leads(80, prefix="good")
    rescore()
    assert review_reason() == "chargeback"


def test_a_tick_computes_once_an_hour_however_often_it_comes() -> None:
    with clock.frozen(NOW):
        open_account(credits_=100_000)
        leads(20)
        tasks.score.run()
        assert score() == (20, 0, "good", False)
        leads(1, prefix="late")
    for minutes, count in ((59, 20), (60, 21), (61, 21)):
        with clock.frozen(NOW + timedelta(minutes=minutes)):
            tasks.score.run()
            assert score() == (count, 0, "good", False)


@pytest.mark.usefixtures("many_connections")
def test_resolutions_and_ticks_at_once_end_with_what_is_true() -> None:
    refs = [f"clinic:{n}" for n in range(4)]
    for ref in refs:
        open_account(ref, credits_=100_000)
        charge(*[f"{ref}-{n}" for n in range(20)], account=ref, source="ads")
    ids = {ref: [dispute(f"{ref}-{n}", account=ref) for n in range(5)] for ref in refs}

    def resolve(ref: str) -> None:
        for id_ in ids[ref]:
            withdraw(id_)

    def tick() -> None:
        for _ in range(5):
            with transaction() as session:
                quality.rescore_all(session)

    answers = at_once(*[partial(resolve, ref) for ref in refs], tick, tick)

    assert answers == [None] * 6
    assert score("ads", "source") == (80, 0, "good", False)
    assert [score(ref) for ref in refs] == [(20, 0, "good", False)] * 4


@pytest.mark.usefixtures("many_connections")
def test_two_resolutions_at_once_count_each_other_for_their_source() -> None:
    open_account(credits_=100_000)
    open_account("clinic:7", credits_=100_000)
    leads(20)
    charge("other", account="clinic:7", source="ads")
    one, another = dispute("L-0"), dispute("other", account="clinic:7")
    dispute("L-1")
    rescore()
    assert score("ads", "source") == (21, 3, "average", False)

    def decide(session: Session) -> None:
        disputes.reject(session, one, notes="untrue", actor="ops")

    meanwhile(decide, partial(reject, another))

    assert score("ads", "source") == (21, 1, "good", False)


@pytest.mark.parametrize(
    ("found", "disputed", "percent"),
    [
        (0, 0, None),
        (20, 0, "0.0"),
        (3, 1, "33.3"),
        (8, 1, "12.5"),
        (2_000, 1, "0.1"),
        (7, 7, "100.0"),
    ],
)
def test_the_rate_has_one_decimal(found: int, disputed: int, percent: str | None) -> None:
    assert quality.rate_percent(QualityScore(leads=found, disputes=disputed)) == percent
