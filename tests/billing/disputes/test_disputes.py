"""Disputes: who may open one and when, what resolving does, and that one of two at once wins."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy.orm import Session

import clock
from billing import disputes
from billing.credit import corrections
from billing.disputes import (
    DisputedBefore,
    DisputeOpen,
    DisputeResolved,
    DisputeWindowOver,
    InvalidDispute,
    LeadNotCharged,
    NothingToRefund,
    UnknownDispute,
)
from billing.errors import IdempotencyConflict
from billing.leads import UnknownLead, parking
from billing.ledger import Kind, ReversalTooLarge
from db.models import LeadDispute
from db.session import transaction
from tests.billing.disputes.given import (
    approve,
    charge,
    dispute,
    meanwhile,
    reject,
    states,
    withdraw,
)
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    balance,
    give,
    open_account,
    post_all,
    rows,
)

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
WINDOW = timedelta(days=30)
PRIVATE = "Asha 98765 43210"
FIELDS = ["lead_id", "account", "actor", "dispute_type", "description", "evidence"]


def clinic(credits_: int = 1_000) -> None:
    open_account(credits_=credits_)


def reverse_by_hand(lead_id: str = "L-1", amount: int | None = None) -> None:
    with transaction() as session:
        corrections.reverse(
            session, charge_key=f"lead:{lead_id}:charge", amount=amount, reason="by hand",
            actor="ops", idempotency_key=f"by hand {lead_id} {amount}",
        )  # fmt: skip


def lots() -> list[tuple[object, ...]]:
    """(source, remaining, expires) of every lot, oldest first."""
    return list(rows("SELECT source, remaining, expires_at FROM credit_lots ORDER BY id"))


def topics() -> list[str]:
    found = rows("SELECT topic FROM outbox_events WHERE topic LIKE 'dispute.%' ORDER BY id")
    return [str(topic) for (topic,) in found]


def test_a_dispute_is_recorded_notified_and_on_the_audit_log() -> None:
    clinic()
    charge("L-1")

    id_ = dispute(description="No such person:\nI called twice", evidence={"calls": [1, 2.5]})

    assert states() == [("L-1", "pending", 0)]
    assert rows("SELECT description, evidence, opened_by, request_key FROM lead_disputes") == [
        ("No such person:\nI called twice", {"calls": [1, 2.5]}, "test", "clinic:42:test:L-1")
    ]
    assert topics() == ["dispute.opened"]
    assert rows("SELECT action, subject, before, after FROM billing_audit_log WHERE subject = :s",
                s=f"dispute:{id_}") == [
        ("dispute.opened", f"dispute:{id_}", None,
         {"state": "pending", "lead_id": "L-1", "account": "clinic:42", "type": "wrong_number"})
    ]  # fmt: skip
    # And nothing was given back yet
    assert balance() == 820


def test_the_same_request_twice_is_one_dispute_whatever_became_of_it() -> None:
    clinic()
    charge("L-1")
    evidence = {"b": 1e300, "a": [None, "é"]}
    first = dispute(evidence=evidence)
    reject(first)

    assert dispute(evidence=evidence) == first
    assert states() == [("L-1", "rejected", 0)]
    assert topics() == ["dispute.opened", "dispute.resolved"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"lead_id": "L-2"}, "lead_id"),
        ({"dispute_type": "spam"}, "dispute_type"),
        ({"description": PRIVATE}, "description"),
        ({"evidence": {"phone": PRIVATE}}, "evidence"),
    ],
)
def test_the_same_key_with_other_content_is_a_conflict_that_repeats_no_text(
    more: dict[str, Any], field: str
) -> None:
    clinic()
    charge("L-1", "L-2")
    dispute(key="k")

    with pytest.raises(IdempotencyConflict) as caught:
        dispute(**{"key": "k", **more})

    assert list(caught.value.differences) == [field]
    assert "98765" not in str(caught.value)
    assert states() == [("L-1", "pending", 0)]


def test_two_accounts_use_the_same_key_for_their_own() -> None:
    clinic()
    open_account("clinic:7", credits_=1_000)
    charge("L-1")
    charge("L-7", account="clinic:7")

    assert dispute("L-1", key="k") != dispute("L-7", key="k", account="clinic:7")


@pytest.mark.parametrize(("lead_id", "account"), [("L-9", "clinic:42"), ("L-1", "clinic:7"),
                                                  ("L-1", "clinic:unknown")])  # fmt: skip
def test_a_lead_of_another_account_is_as_unknown_as_one_that_never_was(
    lead_id: str, account: str
) -> None:
    clinic()
    open_account("clinic:7")
    charge("L-1")

    with pytest.raises(UnknownLead) as caught:
        dispute(lead_id, account=account)
    assert str(caught.value) == str(UnknownLead(lead_id))


def test_only_a_charged_lead_can_be_disputed() -> None:
    clinic(180)
    charge("parked-1", "parked-2")
    reverse_by_hand("parked-1")

    for lead_id, state in (("parked-1", "refunded"), ("parked-2", "parked")):
        with pytest.raises(LeadNotCharged) as caught:
            dispute(lead_id)
        assert (caught.value.lead_id, caught.value.state) == (lead_id, state)


@pytest.mark.parametrize(("late", "allowed"), [(timedelta(0), True), (timedelta(seconds=1), False)])
def test_the_window_runs_from_the_charge_to_its_last_moment(late: timedelta, allowed: bool) -> None:
    # Given a lead that was parked long before it was charged
    with clock.frozen(NOW - timedelta(days=60)):
        clinic(0)
        charge("L-1")
    with clock.frozen(NOW):
        post_all(give(180, key="late credit"))
        release("L-1")
    # When it is disputed at the end of the window, or after
    with clock.frozen(NOW + WINDOW + late):
        if allowed:
            dispute()
        else:
            with pytest.raises(DisputeWindowOver) as caught:
                dispute()
            assert caught.value.ended_at == NOW + WINDOW


def release(lead_id: str) -> None:
    with transaction() as session:
        parking.release(session, lead_id, actor="test")


def test_a_lead_has_one_open_dispute() -> None:
    clinic()
    charge("L-1")
    first = dispute(key="a")

    with pytest.raises(DisputeOpen) as caught:
        dispute(key="b")
    assert (caught.value.lead_id, caught.value.dispute_id) == ("L-1", first)


@pytest.mark.parametrize("how", ["approved", "partially_approved", "rejected"])
def test_what_was_decided_is_not_disputed_again(how: str) -> None:
    clinic()
    charge("L-1")
    first = dispute(key="a")
    if how == "rejected":
        reject(first)
    else:
        approve(first, amount=None if how == "approved" else 80)

    with pytest.raises(DisputedBefore) as caught:
        dispute(key="b")
    assert (caught.value.dispute_id, caught.value.state) == (first, how)


def test_a_withdrawn_dispute_may_be_opened_again() -> None:
    clinic()
    charge("L-1")
    withdraw(dispute(key="a"))

    assert dispute(key="b") != dispute(key="a")
    assert states() == [("L-1", "withdrawn", 0), ("L-1", "pending", 0)]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lead_id", "a\x00b"), ("lead_id", ""), ("account", "x" * 101), ("actor", ""),
        ("dispute_type", "too_expensive"), ("dispute_type", ""),
        ("description", ""), ("description", " \n "), ("description", "x" * 1_001),
        ("description", "a\x00b"), ("description", "\ud800"), ("description", 1),
        ("description", "a\u202eb"),
        ("evidence", {"x": "y" * 16_384}), ("evidence", float("nan")), ("evidence", "\ud800"),
        ("evidence", {"a\x00": 1}), ("evidence", ["\\\x00"]), ("evidence", nested(5_000)),
        ("evidence", {"n": 10**5_000}), ("evidence", {1, 2}),
    ],
    ids=lambda value: value if value in FIELDS else type(value).__name__,
)  # fmt: skip
def test_a_field_that_cannot_be_recorded_is_refused_by_name(field: str, value: Any) -> None:
    clinic()
    charge("L-1")

    with pytest.raises(InvalidDispute) as caught:
        dispute(**{"key": "k", "lead_id": "L-1", field: value})

    assert caught.value.field == field
    assert states() == []


@pytest.mark.parametrize("evidence", ["\\u0000", ["\\\\u0000"], {}, [], 0, False, "y" * 16_382])
def test_evidence_may_be_any_json_up_to_its_limit(evidence: Any) -> None:
    clinic()
    charge("L-1")
    dispute(evidence=evidence)
    assert rows("SELECT evidence FROM lead_disputes") == [(evidence,)]


def test_no_evidence_is_null_and_not_a_json_null() -> None:
    clinic()
    charge("L-1")
    dispute()
    assert rows("SELECT count(*) FROM lead_disputes WHERE evidence IS NULL") == [(1,)]


def test_an_approval_returns_the_credits_to_the_very_lots_they_came_from() -> None:
    # Given a lead that took the rest of a grant and a part of a purchase
    open_account()
    post_all(
        give(100, key="grant", kind=Kind.GRANT, expires_at=clock.now() + timedelta(days=9)),
        give(500, key="paid", kind=Kind.TOP_UP),
    )
    before = lots()
    charge("L-1")
    assert [remaining for _, remaining, _ in lots()] == [0, 420]
    # When its dispute is approved
    id_ = dispute()
    done = approve(id_)
    # Then the lots are what they were, and the ledger knows why
    assert lots() == before
    assert (done.state, done.credits_refunded, done.resolved_by) == ("approved", 180, "ops")
    assert rows(
        "SELECT kind, amount, idempotency_key, dispute_id, lead_id, actor, description"
        "  FROM credit_transactions ORDER BY id DESC LIMIT 1"
    ) == [
        ("lead_refund", 180, f"dispute:{id_}:refund", str(id_), "L-1", "ops",
         f"Dispute {id_} of lead L-1: wrong_number")
    ]  # fmt: skip
    assert rows("SELECT state FROM lead_charges") == [("refunded",)]
    assert topics() == ["dispute.opened", "dispute.resolved"]
    assert_ledger_is_clean()


def test_credit_of_an_expired_lot_comes_back_as_goodwill() -> None:
    with clock.frozen(NOW):
        open_account()
        post_all(
            give(100, key="grant", kind=Kind.GRANT, expires_at=NOW + timedelta(days=3)),
            give(500, key="paid", kind=Kind.TOP_UP),
        )
        charge("L-1")
    with clock.frozen(NOW + timedelta(days=5)):
        approve(dispute())

    assert [(source, remaining) for source, remaining, _ in lots()] == [
        ("grant", 0), ("purchase", 500), ("goodwill", 100),
    ]  # fmt: skip
    assert balance() == 600
    assert_ledger_is_clean()


def test_a_part_is_given_back_and_the_lead_stays_charged() -> None:
    clinic()
    charge("L-1")

    done = approve(dispute(), amount=80, notes="half true")

    assert (done.state, done.credits_refunded, done.notes) == (
        "partially_approved", 80, "half true",
    )  # fmt: skip
    assert rows("SELECT state FROM lead_charges") == [("charged",)]
    assert balance() == 900
    assert_ledger_is_clean()


def test_all_that_is_left_is_an_approval_in_full() -> None:
    clinic()
    charge("L-1", "L-2")
    for lead_id, amount in (("L-1", None), ("L-2", 100)):
        id_ = dispute(lead_id)
        reverse_by_hand(lead_id, 80)
        assert approve(id_, amount=amount).state == "approved"
    assert balance() == 1_000


def test_an_approval_with_nothing_left_is_refused_and_the_dispute_stays_open() -> None:
    clinic()
    charge("L-1")
    id_ = dispute()
    reverse_by_hand()

    with pytest.raises(NothingToRefund) as caught:
        approve(id_)

    assert "reject or withdraw" in str(caught.value)
    assert states() == [("L-1", "pending", 0)]
    assert reject(id_).state == "rejected"


@pytest.mark.parametrize("amount", [181, 10**9])
def test_more_than_was_taken_is_refused(amount: int) -> None:
    clinic()
    charge("L-1")
    id_ = dispute()

    with pytest.raises(ReversalTooLarge):
        approve(id_, amount=amount)

    assert states() == [("L-1", "pending", 0)]
    assert balance() == 820


@pytest.mark.parametrize(
    ("more", "field"),
    [({"amount": 0}, "amount"), ({"amount": -5}, "amount"), ({"amount": True}, "amount"),
     ({"amount": 1.5}, "amount"), ({"notes": " "}, "notes"), ({"notes": "x" * 1_001}, "notes"),
     ({"actor": ""}, "actor")],
)  # fmt: skip
def test_an_invalid_resolution_is_refused_by_name(more: dict[str, Any], field: str) -> None:
    clinic()
    charge("L-1")
    id_ = dispute()

    with pytest.raises(InvalidDispute) as caught:
        approve(id_, **more)

    assert caught.value.field == field
    assert states() == [("L-1", "pending", 0)]


@pytest.mark.parametrize("first", [approve, reject, withdraw])
@pytest.mark.parametrize("second", [approve, reject, withdraw])
def test_what_is_resolved_stays_as_it_is_and_says_who_did_it(first: Any, second: Any) -> None:
    clinic()
    charge("L-1")
    id_ = dispute()
    done = first(id_, actor="asha")
    after = balance()

    with pytest.raises(DisputeResolved) as caught:
        second(id_, actor="ravi")

    assert (caught.value.state, caught.value.resolved_by) == (done.state, "asha")
    assert balance() == after
    assert topics() == ["dispute.opened", "dispute.resolved"]


def test_an_unknown_dispute_cannot_be_resolved() -> None:
    for resolve in (approve, reject, withdraw):
        with pytest.raises(UnknownDispute):
            resolve(17)


def test_a_rejection_gives_nothing_back_and_is_on_the_audit_log() -> None:
    clinic()
    charge("L-1")
    id_ = dispute()
    reject(id_, notes="the patient answered")

    assert balance() == 820
    assert rows(
        "SELECT action, before, after FROM billing_audit_log WHERE subject = :s"
        " ORDER BY id DESC LIMIT 1", s=f"dispute:{id_}",
    ) == [
        ("dispute.rejected", {"state": "pending"},
         {"state": "rejected", "credits_refunded": 0, "notes": "the patient answered"})
    ]  # fmt: skip


def test_a_debt_that_the_lead_left_is_forgiven_first() -> None:
    open_account(credits_=100, overdraft_limit=500)
    charge("L-1")
    approve(dispute())
    assert balance() == 100
    assert_ledger_is_clean()


@pytest.mark.usefixtures("many_connections")
@pytest.mark.parametrize("round_", range(3))
def test_of_two_approvals_at_once_one_takes_effect_and_the_other_is_refused(round_: int) -> None:
    clinic()
    charge("L-1")
    id_ = dispute()

    answers = at_once(partial(approve, id_, actor="asha"), partial(approve, id_, actor="ravi"))

    [done] = [a for a in answers if isinstance(a, LeadDispute)]
    [refused] = [a for a in answers if isinstance(a, DisputeResolved)]
    assert refused.resolved_by == done.resolved_by
    assert balance() == 1_000
    assert_ledger_is_clean()


@pytest.mark.usefixtures("many_connections")
@pytest.mark.parametrize("round_", range(3))
def test_an_approval_and_a_withdrawal_at_once_have_one_winner(round_: int) -> None:
    clinic()
    charge("L-1")
    id_ = dispute()

    answers = at_once(partial(approve, id_), partial(withdraw, id_), partial(reject, id_))

    [done] = [a for a in answers if isinstance(a, LeadDispute)]
    assert [type(a) for a in answers if a is not done] == [DisputeResolved] * 2
    assert balance() == (1_000 if done.state == "approved" else 820)
    assert_ledger_is_clean()


@pytest.mark.usefixtures("many_connections")
def test_a_lead_that_is_disputed_twice_at_once_has_one_dispute() -> None:
    clinic()
    charge("L-1")

    answers = at_once(*[partial(dispute, key=f"k{n}") for n in range(6)])

    assert sum(isinstance(a, int) for a in answers) == 1
    assert sum(isinstance(a, DisputeOpen) for a in answers) == 5
    assert topics() == ["dispute.opened"]


@pytest.mark.usefixtures("many_connections")
def test_the_same_request_at_once_is_one_dispute_for_all() -> None:
    clinic()
    charge("L-1")

    answers = at_once(*[partial(dispute, key="k") for _ in range(6)])

    assert len(set(map(str, answers))) == 1
    assert topics() == ["dispute.opened"]


@pytest.mark.usefixtures("many_connections")
def test_one_key_for_two_leads_at_once_has_one_winner() -> None:
    clinic()
    charge("L-1", "L-2")

    answers = at_once(partial(dispute, "L-1", key="k"), partial(dispute, "L-2", key="k"))

    assert sorted(type(a).__name__ for a in answers) == ["IdempotencyConflict", "int"]


@pytest.mark.usefixtures("many_connections")
def test_a_lead_is_not_disputed_again_while_its_dispute_is_being_decided() -> None:
    clinic()
    charge("L-1")
    first = dispute(key="a")

    def decide(session: Session) -> None:
        disputes.reject(session, first, notes="untrue", actor="ops")

    again = meanwhile(decide, partial(dispute, key="b"))

    assert isinstance(again, DisputedBefore)
    assert states() == [("L-1", "rejected", 0)]


@pytest.mark.usefixtures("many_connections")
def test_the_second_of_two_approvals_at_once_learns_who_was_first() -> None:
    clinic()
    charge("L-1")
    id_ = dispute()

    def decide(session: Session) -> None:
        disputes.approve(session, id_, notes="true", actor="asha")

    second = meanwhile(decide, partial(approve, id_, actor="ravi"))

    assert isinstance(second, DisputeResolved)
    assert (second.state, second.resolved_by) == ("approved", "asha")
    assert balance() == 1_000


@pytest.mark.usefixtures("many_connections")
def test_many_resolutions_during_charges_neither_deadlock_nor_lose_a_credit() -> None:
    refs = [f"clinic:{n}" for n in range(4)]
    for ref in refs:
        open_account(ref, credits_=10_000)
        charge(*[f"{ref}-{n}" for n in range(4)], account=ref, source="ads")
    ids = {ref: [dispute(f"{ref}-{n}", account=ref) for n in range(4)] for ref in refs}

    def work(ref: str) -> None:
        for n, id_ in enumerate(ids[ref]):
            (approve, reject)[n % 2](id_)
            charge(f"{ref}-more-{n}", account=ref, source="ads")

    errors = [a for a in at_once(*[partial(work, ref) for ref in refs]) if a is not None]

    assert errors == []
    assert [balance(ref) for ref in refs] == [10_000 - 6 * 180] * 4
    # Approved ones count for their source, rejected ones do not
    assert rows("SELECT disputes FROM quality_scores WHERE subject_kind = 'source'") == [(8,)]
    assert_ledger_is_clean()
