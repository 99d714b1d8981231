"""What becomes of one request, decided without a database."""

from collections.abc import Mapping

import pytest

from billing import catalog
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.leads import LeadRequest, LeadState
from billing.leads.cases import Case, classify_all
from billing.leads.lead_statements import RecordedLead
from billing.ledger import InsufficientCredit, Outcome, PostingResult
from tests.billing.leads.given import CHEAP, DEAR, RS_6000, lead

NOBODY_KNOWN: frozenset[str] = frozenset()
APPLIED = PostingResult(Outcome.APPLIED, transaction_id=7, account_id=3)
NO_CREDIT = PostingResult(
    Outcome.REFUSED,
    account_id=3,
    error=InsufficientCredit("clinic:42", needed=180, available=0),
)


def classified(
    *requests: LeadRequest,
    recorded: Mapping[str, RecordedLead] | None = None,
    known: frozenset[str] | None = None,
) -> list[Case]:
    return classify_all(
        requests,
        recorded=recorded or {},
        known_accounts=known,
        tiers=catalog.get().lead_pricing.tiers,
    )


def settled(*requests: LeadRequest, by: PostingResult) -> list[Case]:
    """The cases of requests after the ledger gave each charge the same answer."""
    cases = classified(*requests)
    for case in cases:
        if case.is_charge:
            case.settle(by, None)
    return cases


def on_record(
    state: str, *, account: str = "clinic:42", price: int = RS_6000
) -> dict[str, RecordedLead]:
    return {"L-1": RecordedLead("L-1", account, price, 180, state)}


def states(cases: list[Case]) -> list[LeadState]:
    return [case.final_result().state for case in cases]


def test_a_new_lead_is_a_charge_at_the_price_of_its_package() -> None:
    cases = classified(lead("A", price=CHEAP), lead("B", price=DEAR))
    assert [(case.is_charge, case.price_credits) for case in cases] == [(True, 100), (True, 500)]


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        ("charged", LeadState.REPEATED),
        ("refunded", LeadState.REPEATED),
        ("parked", LeadState.INSUFFICIENT_CREDIT),
        ("cancelled", LeadState.CANCELLED),
    ],
)
def test_a_lead_on_record_is_answered_from_it_at_the_recorded_price(
    state: str, answer: LeadState
) -> None:
    [case] = classified(lead(), recorded=on_record(state))
    assert not case.is_charge
    assert (case.final_result().state, case.final_result().credits) == (answer, 180)


@pytest.mark.parametrize("state", ["charged", "refunded", "parked", "cancelled"])
def test_other_content_than_on_record_is_a_conflict_in_every_state(state: str) -> None:
    [case] = classified(lead(price=1), recorded=on_record(state))
    error = case.final_result().error
    assert isinstance(error, IdempotencyConflict)
    assert error.differences == {"package_price_paise": (RS_6000, 1)}


def test_a_repeat_inside_a_batch_has_the_first_ones_result_and_takes_nothing() -> None:
    charged = settled(lead(), lead(), lead(), by=APPLIED)
    assert [case.is_charge for case in classified(lead(), lead(), lead())] == [True, False, False]
    assert states(charged) == [LeadState.CHARGED, LeadState.REPEATED, LeadState.REPEATED]
    parked = settled(lead(), lead(), by=NO_CREDIT)
    assert states(parked) == [LeadState.INSUFFICIENT_CREDIT] * 2


def test_other_content_inside_a_batch_is_a_conflict_with_the_first() -> None:
    cases = settled(lead(), lead(account="clinic:43"), lead(price=1), lead(), by=APPLIED)
    assert states(cases) == [
        LeadState.CHARGED,
        LeadState.REFUSED,
        LeadState.REFUSED,
        LeadState.REPEATED,
    ]


def test_a_lead_of_an_unknown_account_does_not_stand_in_the_way_of_its_correction() -> None:
    wrong, right, again = classified(
        lead(account="clinic:none"), lead(), lead(), known=frozenset({"clinic:42"})
    )
    assert isinstance(wrong.final_result().error, UnknownAccount)
    assert right.is_charge
    assert again.first is right


def test_a_conflict_is_reported_before_an_unknown_account() -> None:
    [case] = classified(
        lead(account="clinic:none"), recorded=on_record("charged"), known=NOBODY_KNOWN
    )
    assert isinstance(case.final_result().error, IdempotencyConflict)


def test_a_charged_lead_leaves_a_row_with_its_ledger_row() -> None:
    [case] = settled(lead(source="ads"), by=APPLIED)
    row = case.new_lead()
    assert row is not None
    assert (row.state, row.credits, row.account_id, row.transaction_id, row.source) == (
        "charged", 180, 3, 7, "ads",
    )  # fmt: skip


def test_a_lead_without_credit_leaves_a_parked_row() -> None:
    [case] = settled(lead(), by=NO_CREDIT)
    row = case.new_lead()
    assert row is not None
    assert (row.state, row.account_id, row.transaction_id) == ("parked", 3, None)


def test_a_lead_behind_parked_ones_is_parked_without_the_ledger() -> None:
    [case] = classified(lead())
    case.wait_behind_parked(3)
    row = case.new_lead()
    assert row is not None
    assert (case.is_charge, row.state, row.account_id) == (False, "parked", 3)
    assert case.final_result().state is LeadState.INSUFFICIENT_CREDIT


@pytest.mark.parametrize(
    "posted",
    [
        PostingResult(Outcome.REPEATED, transaction_id=7),
        PostingResult(Outcome.REFUSED, error=UnknownAccount("clinic:42")),
    ],
)
def test_a_repeat_in_the_ledger_and_a_refusal_leave_no_row(posted: PostingResult) -> None:
    [case] = settled(lead(), by=posted)
    assert case.new_lead() is None


def test_a_conflict_found_by_the_ledger_names_the_fields_of_the_lead() -> None:
    # Given a lead that somebody charged at another price after it was classified
    by_the_ledger = IdempotencyConflict("lead:L-1:charge", {"amount": (-180, -100)})
    first, repeat = classified(lead(price=CHEAP), lead(price=CHEAP))
    # When the ledger refuses it, and the row that is there by now is read
    first.settle(PostingResult(Outcome.REFUSED, error=by_the_ledger), on_record("charged")["L-1"])
    # Then the sender sees the field that he sent, at both requests
    for case in (first, repeat):
        error = case.final_result().error
        assert isinstance(error, IdempotencyConflict)
        assert error.differences == {"package_price_paise": (RS_6000, CHEAP)}
