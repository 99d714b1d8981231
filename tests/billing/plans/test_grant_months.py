"""Which months of a plan are due: decided without a database."""

from datetime import date

import pytest

from billing.plans.grant_months import PUT_OFF, decide
from billing.plans.leases import LeasedPlan
from tests.billing.plans.given import KOLKATA, MONTHLY, PLAN, at

PLAN_ROW = LeasedPlan(
    account_id=7,
    plan_type=PLAN,
    next_grant_month=date(2026, 12, 1),
    next_grant_at=at("2026-11-30T18:30"),
    grace_ends_at=at("2027-12-05T18:30"),
    monthly_credits=MONTHLY,
)


@pytest.mark.parametrize(
    ("now", "months", "next_month"),
    [
        ("2026-11-30T18:29", [], date(2026, 12, 1)),
        ("2026-11-30T18:30", ["2026-12-01"], date(2027, 1, 1)),
        ("2027-02-05T00:00", ["2026-12-01", "2027-01-01", "2027-02-01"], date(2027, 3, 1)),
    ],
)
def test_the_months_that_have_begun_are_due_and_the_next_one_is_not(
    now: str, months: list[str], next_month: date
) -> None:
    decision = decide(PLAN_ROW, KOLKATA, now=at(now))

    assert [due.month.isoformat() for due in decision.months] == months
    assert {due.withheld for due in decision.months} <= {None}
    assert decision.next_month == next_month


def test_no_month_after_the_last_one_asked_for_is_due() -> None:
    decision = decide(PLAN_ROW, KOLKATA, now=at("2027-03-05T00:00"), through=date(2027, 1, 1))

    assert [due.month for due in decision.months] == [date(2026, 12, 1), date(2027, 1, 1)]
    assert (decision.next_month, decision.next_at) == (date(2027, 2, 1), at("2027-01-31T18:30"))


def test_a_month_is_withheld_if_it_began_degraded_or_too_long_ago_or_brings_nothing() -> None:
    late = decide(PLAN_ROW, KOLKATA, now=at("2028-02-10T00:00"))
    empty = decide(PLAN_ROW._replace(monthly_credits=0), KOLKATA, now=PLAN_ROW.next_grant_at)

    assert {due.month.isoformat(): due.withheld for due in late.months if due.withheld} == {
        "2026-12-01": "too_long_ago",
        "2027-01-01": "too_long_ago",
        "2028-01-01": "degraded",
        "2028-02-01": "degraded",
    }
    assert [due.withheld for due in empty.months] == ["no_credits"]


def test_a_plan_in_an_unknown_zone_is_put_off_and_keeps_its_month() -> None:
    now = at("2026-12-05T00:00")

    decision = decide(PLAN_ROW, "Mars/Olympus", now=now)

    assert (decision.months, decision.next_month) == ([], PLAN_ROW.next_grant_month)
    assert decision.next_at == now + PUT_OFF
    assert "Mars/Olympus" in str(decision.problem)
