"""Parked leads: first in, first out, once each, as soon as credit of any kind covers them."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text

import clock
from billing import accounts, catalog
from billing.credit import holds, reversals
from billing.leads import (
    LeadNotParked,
    LeadRequest,
    LeadState,
    ReleasedLead,
    UnknownLead,
    charge_leads,
    parking,
)
from billing.ledger import InsufficientCredit, Kind
from db.session import transaction
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    balance,
    give,
    open_account,
    post_all,
    rows,
    take,
)
from tests.billing.leads.given import CHEAP, DEAR, MIDDLE, park, release_due, states

pytestmark = pytest.mark.usefixtures("database")


def test_credit_releases_leads_in_the_order_in_which_they_were_parked() -> None:
    # Given leads whose ids are in another order than they came
    open_account()
    park(("Z", MIDDLE), ("A", CHEAP))
    park(("M", CHEAP))
    assert release_due() == []
    # When there is credit for two of them, Then it is the first two
    post_all(give(399, key="g"))
    assert release_due() == ["Z", "A"]
    assert states() == {"A": "charged", "M": "parked", "Z": "charged"}
    assert (balance(), release_due()) == (49, [])
    assert rows(
        "SELECT idempotency_key, amount, actor FROM credit_transactions WHERE version > 1"
        " ORDER BY version"
    ) == [
        ("lead:Z:charge", -250, "system:release"),
        ("lead:A:charge", -100, "system:release"),
    ]
    assert_ledger_is_clean()


def test_a_dear_lead_at_the_head_is_not_overtaken() -> None:
    open_account()
    park(("dear", DEAR), ("cheap", CHEAP))
    post_all(give(499, key="g"))
    assert release_due() == []
    post_all(give(1, key="h"))
    assert release_due() == ["dear"]


def test_a_released_lead_is_notified_and_stays_released() -> None:
    open_account()
    park(("L", CHEAP))
    post_all(give(100, key="g"))
    release_due()
    assert park(("L", CHEAP)) == [LeadState.REPEATED]
    assert [
        topic for (topic,) in rows("SELECT topic FROM outbox_events ORDER BY id")
        if str(topic).startswith("lead.")
    ] == ["lead.parked", "lead.released"]  # fmt: skip
    assert rows("SELECT action, subject FROM billing_audit_log WHERE subject LIKE 'lead:%'") == [
        ("lead.parked", "lead:L")
    ]


def test_a_lead_is_released_at_the_price_of_the_day_it_was_parked() -> None:
    open_account()
    park(("L", CHEAP))
    with transaction() as session:
        session.execute(text("UPDATE lead_charges SET credits = 70"))  # a catalog of before
    post_all(give(70, key="g"))
    assert release_due() == ["L"]
    assert balance() == 0


@pytest.mark.parametrize("how", ["overdraft", "hold", "refund", "write-off of a debt is none"])
def test_any_kind_of_credit_releases(how: str) -> None:
    # Given an account whose credit is held, or spent
    open_account(credits_=100)
    if how == "hold":
        with transaction() as session:
            hold = holds.place(
                session, account="clinic:42", amount=100, idempotency_key="h", actor="test",
                expires_in=None,
            )  # fmt: skip
    else:
        post_all(take(100, key="t"))
    park(("L", CHEAP))
    # When it becomes available
    with transaction() as session:
        if how == "hold":
            holds.void(session, hold_id=hold.id, idempotency_key="v", actor="test")
        elif how == "overdraft":
            accounts.update(session, "clinic:42", overdraft_limit=100)
        elif how == "refund":
            reversals.reverse(
                session, charge_key="t", amount=None, reason="wrong", actor="test",
                idempotency_key="r",
            )  # fmt: skip
    # Then the lead is released
    assert release_due() == ([] if how.startswith("write-off") else ["L"])
    assert_ledger_is_clean()


def test_credit_that_is_past_its_time_covers_nothing() -> None:
    start = datetime(2026, 11, 21, 8, tzinfo=UTC)
    with clock.frozen(start):
        open_account()
        park(("first", MIDDLE), ("second", CHEAP))
        ends = start + timedelta(hours=1)
        post_all(give(200, key="ends", kind=Kind.GRANT, expires_at=ends), give(100, key="stays"))
    with clock.frozen(ends):
        # 300 stand on the account, 100 are left once its credit has expired
        assert release_due() == []
    assert states() == {"first": "parked", "second": "parked"}


def test_batches_go_on_where_the_last_one_stopped() -> None:
    open_account()
    park(*((f"L-{number:02}", CHEAP) for number in range(10)))
    post_all(give(1_000, key="g"))
    assert [release_due(limit=4) for _ in range(4)] == [
        [f"L-{number:02}" for number in part] for part in (range(4), range(4, 8), range(8, 10), ())
    ]


def test_accounts_do_not_wait_for_one_that_is_locked() -> None:
    for ref in ("clinic:1", "clinic:2"):
        open_account(ref)
        park((f"L-{ref}", CHEAP), account=ref)
        post_all(give(100, key=f"g-{ref}", account=ref))
    with transaction() as session:
        session.execute(text("SELECT 1 FROM accounts WHERE ref = 'clinic:1' FOR UPDATE"))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(copy_context().run, release_due).result() == ["L-clinic:2"]
    assert release_due() == ["L-clinic:1"]


def test_eight_releases_at_once_charge_each_lead_once(many_connections: None) -> None:
    open_account()
    park(*((f"L-{number}", CHEAP) for number in range(20)))
    post_all(give(1_500, key="g"))
    found = at_once(*(release_due,) * 8)
    assert sum(len(ids) for ids in found if isinstance(ids, list)) == 15
    assert (balance(), list(states().values()).count("charged")) == (0, 15)
    assert_ledger_is_clean()


# --- by hand ------------------------------------------------------------------------------------


def test_an_operator_releases_one_lead_before_its_turn() -> None:
    open_account()
    park(("dear", DEAR), ("cheap", CHEAP))
    post_all(give(100, key="g"))
    with transaction() as session:
        assert parking.release(session, "cheap", actor="ops") == ReleasedLead(
            "cheap", "clinic:42", 100
        )
    assert states() == {"cheap": "charged", "dear": "parked"}
    assert_ledger_is_clean()


def test_a_lead_that_is_not_covered_stays_parked() -> None:
    open_account()
    park(("L", CHEAP))
    with pytest.raises(InsufficientCredit), transaction() as session:
        parking.release(session, "L", actor="ops")
    assert states() == {"L": "parked"}


def test_a_cancelled_lead_is_never_charged_and_says_who_and_why() -> None:
    open_account()
    park(("L", CHEAP), ("M", CHEAP))
    with transaction() as session:
        parking.cancel(session, "L", reason="no longer wanted")
    post_all(give(1_000, key="g"))
    assert release_due() == ["M"]
    assert park(("L", CHEAP)) == [LeadState.CANCELLED]
    assert states() == {"L": "cancelled", "M": "charged"}
    assert rows(
        "SELECT actor, before ->> 'state', after ->> 'reason' FROM billing_audit_log"
        " WHERE action = 'lead.cancelled'"
    ) == [("test", "parked", "no longer wanted")]
    assert rows("SELECT count(*) FROM outbox_events WHERE topic = 'lead.cancelled'") == [(1,)]


@pytest.mark.parametrize("what", [parking.release, parking.cancel])
def test_only_a_parked_lead_can_be_released_or_cancelled(what: object) -> None:
    open_account(credits_=100)
    park(("L", CHEAP))
    more = {"actor": "ops"} if what is parking.release else {"reason": "why"}
    for lead_id, error in (("L", LeadNotParked), ("none", UnknownLead)):
        with pytest.raises(error), transaction() as session:
            what(session, lead_id, **more)  # type: ignore[operator]


def test_a_release_and_a_cancel_at_once_have_one_winner(many_connections: None) -> None:
    def cancel() -> str:
        with transaction() as session:
            parking.cancel(session, f"L-{number}", reason="why")
        return "cancelled"

    for number in range(8):
        open_account(f"clinic:{number}")
        park((f"L-{number}", CHEAP), account=f"clinic:{number}")
        post_all(give(100, key=f"g{number}", account=f"clinic:{number}"))
        released, cancelled = at_once(release_due, cancel)
        assert (released == [f"L-{number}"]) != (cancelled == "cancelled")
        if isinstance(cancelled, str):
            assert release_due() == []
        assert balance(f"clinic:{number}") == (100 if cancelled == "cancelled" else 0)
    assert_ledger_is_clean()


def test_a_lead_given_back_whole_is_refunded_a_part_of_it_is_not() -> None:
    open_account(credits_=100)
    park(("L", CHEAP))

    def give_back(amount: int | None, key: str) -> None:
        with transaction() as session:
            reversals.reverse(
                session, charge_key="lead:L:charge", amount=amount, reason="wrong number",
                actor="ops", idempotency_key=key,
            )  # fmt: skip

    give_back(40, "a")
    assert states() == {"L": "charged"}
    give_back(None, "b")
    give_back(None, "b")
    assert states() == {"L": "refunded"}
    assert rows("SELECT count(*) FROM outbox_events WHERE topic = 'lead.refunded'") == [(1,)]
    assert park(("L", CHEAP)) == [LeadState.REPEATED]
    assert_ledger_is_clean()


def test_a_new_lead_waits_behind_a_parked_one_that_is_about_to_be_released() -> None:
    # Given a dear parked lead, and a top-up for it that no release has come by for yet
    open_account(credits_=200)
    park(("dear", DEAR))
    post_all(give(300, key="g"))
    # When another lead comes, Then it must not take the credit that was meant for the first
    assert park(("cheap", CHEAP)) == [LeadState.INSUFFICIENT_CREDIT]
    assert release_due() == ["dear"]
    assert states() == {"cheap": "parked", "dear": "charged"}


def test_a_parked_lead_that_is_not_covered_keeps_nobody_waiting() -> None:
    open_account(credits_=200)
    assert park(("dear", DEAR), ("cheap", CHEAP)) == [
        LeadState.INSUFFICIENT_CREDIT,
        LeadState.CHARGED,
    ]


def test_charges_and_releases_that_cross_do_not_deadlock(many_connections: None) -> None:
    refs = [f"clinic:{number}" for number in range(6)]
    for ref in refs:
        open_account(ref)
        park((f"P-{ref}", CHEAP), account=ref)
        post_all(give(600, key=f"g-{ref}", account=ref))

    def charge(number: int) -> list[LeadState]:
        order = refs if number % 2 else refs[::-1]
        requests = [
            LeadRequest(lead_id=f"L-{number}-{ref}", account=ref, package_price_paise=CHEAP)
            for ref in order
        ]
        with transaction() as session:
            return [result.state for result in charge_leads(session, requests, actor="test")]

    at_once(*(partial(charge, number) for number in range(5)), *(release_due,) * 3)
    while release_due():
        pass
    assert list(states().values()).count("charged") == len(refs) * 6
    assert_ledger_is_clean()


def test_leads_parked_before_their_product_stopped_parking_are_charged_as_debt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_account()
    park(("A", CHEAP), ("B", MIDDLE))
    products = catalog.get().products
    never = products["clinic_leads"].model_copy(update={"leads_without_credit": "charge"})
    changed = catalog.get().model_copy(update={"products": {**products, "clinic_leads": never}})
    monkeypatch.setattr(catalog, "get", lambda: changed)
    assert release_due() == ["A", "B"]
    assert balance() == -350
    assert_ledger_is_clean()


def test_expired_credit_of_many_accounts_starves_nobody() -> None:
    start = datetime(2026, 11, 21, 8, tzinfo=UTC)
    with clock.frozen(start):
        for number in range(4):
            ref = f"clinic:{number}"
            open_account(ref)
            park((f"L-{number}", CHEAP), account=ref)
            ends = start + timedelta(hours=1) if number < 3 else None
            post_all(give(100, key=f"g{number}", account=ref, expires_at=ends))
    with clock.frozen(start + timedelta(hours=2)):
        assert release_due(limit=2) == ["L-3"]


def test_leads_parked_by_the_version_before_have_their_place() -> None:
    # Given leads that a process which knows no numbers has parked, between two of ours
    open_account()
    park(("first", CHEAP))
    with transaction() as session:
        session.execute(
            text(
                "INSERT INTO lead_charges (lead_id, account_id, package_price_paise, credits,"
                " state, occurred_at, created_at, updated_at)"
                " SELECT id, account_id, package_price_paise, credits, state, occurred_at,"
                " created_at, updated_at FROM lead_charges, unnest(ARRAY['old-1', 'old-2']) AS id"
            )
        )
    park(("last", CHEAP))
    # When credit comes for one after the other, Then they are released one by one, in order
    for number, lead_id in enumerate(("first", "old-1", "old-2", "last")):
        post_all(give(100, key=f"g{number}"))
        assert release_due() == [lead_id]
