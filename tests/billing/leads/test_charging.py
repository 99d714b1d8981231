"""Charging leads: once each, at the price of their package, parked if there is no credit."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from pydantic import ValidationError

from billing import accounts, catalog
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.leads import LeadRequest, LeadResult, LeadState, find_lead
from db.session import transaction
from tests.billing.given import (
    assert_ledger_is_clean,
    balance,
    give,
    open_account,
    post_all,
    rows,
)
from tests.billing.leads.given import RS_6000, charge, lead

pytestmark = pytest.mark.usefixtures("database")


def leads_on_record() -> Sequence[tuple[object, ...]]:
    return rows("SELECT lead_id, state, credits FROM lead_charges ORDER BY lead_id")


def test_a_lead_is_charged_by_the_value_of_its_package() -> None:
    open_account(credits_=1_000)
    happened = datetime(2026, 11, 20, 8, tzinfo=UTC)
    result = charge(lead(source="google-ads", occurred_at=happened))[0]

    assert (result.state, result.account, result.credits) == ("charged", "clinic:42", 180)
    assert balance() == 820
    assert rows(
        "SELECT state, credits, package_price_paise, source, occurred_at FROM lead_charges"
    ) == [("charged", 180, RS_6000, "google-ads", happened)]
    assert rows(
        "SELECT amount, kind, idempotency_key, lead_id, event_at FROM credit_transactions"
        " WHERE version = 2"
    ) == [(-180, "lead_charge", "lead:L-1:charge", "L-1", happened)]
    assert_ledger_is_clean()


def test_the_same_lead_again_is_one_deduction() -> None:
    open_account(credits_=1_000)
    first, in_batch = charge(lead(), lead())
    later = charge(lead())[0]
    assert [first.state, in_batch.state, later.state] == ["charged", "repeated", "repeated"]
    assert balance() == 820


@pytest.mark.parametrize("same_batch", [True, False])
@pytest.mark.parametrize(
    ("other", "field", "before", "now"),
    [
        # Rs 6,000 and Rs 7,000 cost the same: still not the same request.
        (lead(price=700_000), "package_price_paise", RS_6000, 700_000),
        (lead(price=1_000_000), "package_price_paise", RS_6000, 1_000_000),
        (lead(account="clinic:43"), "account", "clinic:42", "clinic:43"),
    ],
)
def test_the_same_lead_with_other_content_is_a_conflict_that_names_the_field(
    other: LeadRequest, field: str, before: object, now: object, *, same_batch: bool
) -> None:
    open_account(credits_=1_000)
    open_account("clinic:43", credits_=1_000)
    result = charge(lead(), other)[1] if same_batch else (charge(lead()), charge(other))[1][0]

    assert result.state is LeadState.REFUSED
    assert isinstance(result.error, IdempotencyConflict)
    assert result.error.differences == {field: (before, now)}
    assert (balance(), balance("clinic:43")) == (820, 1_000)
    assert leads_on_record() == [("L-1", "charged", 180)]


def test_a_lead_that_cannot_be_paid_is_parked_and_nothing_is_taken() -> None:
    open_account(credits_=179)
    assert charge(lead())[0].state is LeadState.INSUFFICIENT_CREDIT
    assert balance() == 179
    assert leads_on_record() == [("L-1", "parked", 180)]
    with transaction() as session:
        found = find_lead(session, "L-1")
    assert found is not None
    assert found.transaction_id is None


def test_a_parked_lead_sent_again_stays_in_its_place() -> None:
    # Given a parked lead, and credit that nobody has released it with yet
    open_account(credits_=100)
    charge(lead())
    post_all(give(100, key="g"))
    # When it is sent again, Then it waits for its release: others may be before it
    assert charge(lead())[0].state is LeadState.INSUFFICIENT_CREDIT
    assert (leads_on_record(), balance()) == ([("L-1", "parked", 180)], 200)
    assert_ledger_is_clean()


def test_the_outbox_has_one_notice_of_each_lead() -> None:
    open_account(credits_=200)
    charge(lead("L-2"), lead("L-1"), lead("L-2"))
    charge(lead("L-1"))
    notices = rows("SELECT topic, subject, payload FROM outbox_events WHERE topic LIKE 'lead.%'"
                " ORDER BY id")  # fmt: skip
    assert notices == [
        ("lead.charged", "lead:L-2", {"lead_id": "L-2", "account": "clinic:42", "credits": 180}),
        ("lead.parked", "lead:L-1", {"lead_id": "L-1", "account": "clinic:42", "credits": 180}),
    ]


def test_requests_that_do_not_match_the_record_are_kept_once_and_notified() -> None:
    open_account(credits_=1_000)
    open_account("clinic:43", credits_=1_000)
    charge(lead(), lead(account="clinic:43"), lead(account="clinic:none"))
    charge(lead(price=1))
    charge(lead(price=1), lead("L-2", account="clinic:none"))
    assert rows(
        "SELECT c.lead_id, a.ref, c.package_price_paise, c.actor FROM lead_conflicts c"
        " JOIN accounts a ON a.id = c.account_id ORDER BY c.id"
    ) == [("L-1", "clinic:43", RS_6000, "test"), ("L-1", "clinic:42", 1, "test")]
    assert rows(
        "SELECT topic, payload ->> 'account', payload ->> 'reason', a.ref FROM outbox_events e"
        " LEFT JOIN accounts a ON a.id = e.account_id"
        " WHERE topic IN ('lead.conflict', 'lead.refused') ORDER BY e.id"
    ) == [
        ("lead.conflict", "clinic:43", "IdempotencyConflict", "clinic:43"),
        ("lead.conflict", "clinic:none", "IdempotencyConflict", None),
        ("lead.conflict", "clinic:42", "IdempotencyConflict", "clinic:42"),
        ("lead.conflict", "clinic:42", "IdempotencyConflict", "clinic:42"),
        ("lead.refused", "clinic:none", "UnknownAccount", None),
    ]


def test_a_lead_without_credit_is_charged_as_debt_if_the_catalog_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a product whose leads are not parked, and one whose are
    products = catalog.get().products
    never = products["clinic_leads"].model_copy(update={"leads_without_credit": "charge"})
    changed = catalog.get().model_copy(update={"products": {**products, "clinic_leads": never}})
    monkeypatch.setattr(catalog, "get", lambda: changed)
    open_account(credits_=100)
    with transaction() as session:
        accounts.create(session, ref="shop:1", name="Shop", product="pharmapulse_one")
    # When neither account can pay, Then one is charged past its limit and the other parked
    first, second = charge(lead(), lead("L-2", account="shop:1"))
    assert (first.state, second.state) == ("charged", "insufficient_credit")
    assert balance() == -80
    assert_ledger_is_clean()


def test_a_parked_lead_with_other_content_is_a_conflict() -> None:
    open_account(credits_=0)
    charge(lead())
    assert isinstance(charge(lead(price=1))[0].error, IdempotencyConflict)


def test_an_overdraft_pays_for_leads() -> None:
    open_account(overdraft_limit=200)
    assert [r.state for r in charge(lead("L-1"), lead("L-2"))] == ["charged", "insufficient_credit"]
    assert balance() == -180


def test_an_unknown_account_is_refused_and_leaves_no_lead() -> None:
    result = charge(lead(account="clinic:none"))[0]
    assert isinstance(result.error, UnknownAccount)
    assert leads_on_record() == []


def test_sixteen_at_once_with_the_same_lead_are_one_deduction(many_connections: None) -> None:
    open_account(credits_=1_000)
    together = Barrier(16)

    def send(_: int) -> str:
        together.wait()
        return charge(lead())[0].state.value

    with ThreadPoolExecutor(16) as pool:
        answers = sorted(pool.map(send, range(16)))
    assert answers == ["charged"] + ["repeated"] * 15
    assert balance() == 820
    assert_ledger_is_clean()


def test_two_prices_at_once_are_one_deduction_and_one_named_conflict(
    many_connections: None,
) -> None:
    open_account(credits_=100_000)
    for i in range(10):
        together = Barrier(2)

        def send(price: int, i: int = i, together: Barrier = together) -> LeadResult:
            together.wait()
            return charge(lead(f"L-{i}", price=price))[0]

        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(send, [600_000, 700_000]))
        refused = [r for r in results if r.state is LeadState.REFUSED]
        assert len(refused) == 1
        assert isinstance(refused[0].error, IdempotencyConflict)
        assert set(refused[0].error.differences) == {"package_price_paise"}
    assert balance() == 100_000 - 10 * 180


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("package_price_paise", -1),
        ("package_price_paise", 1.5),
        ("package_price_paise", 600_000.0),
        ("package_price_paise", "600000"),
        ("package_price_paise", True),
        ("package_price_paise", None),
        ("package_price_paise", 2**53),
        ("package_price_paise", 10**4000),
        ("lead_id", ""),
        ("lead_id", " "),
        ("lead_id", 17),
        ("lead_id", "L" * 201),
        ("lead_id", "L\x00"),
        ("lead_id", ["L"]),
        ("account", ""),
        ("account", "c" * 101),
        ("account", None),
        ("occurred_at", "yesterday"),
        ("occurred_at", 1_700_000_000),
        ("occurred_at", datetime(2026, 1, 1)),  # noqa: DTZ001 - no zone, on purpose
        ("occurred_at", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_request_that_makes_no_sense_names_its_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        LeadRequest.model_validate(lead().model_dump() | {field: value})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]
