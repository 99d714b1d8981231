"""`/v1/accounts/{ref}/transactions` and `/payments`: whole, in order, in pages that stay right."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

import clock
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import give, open_account, post_all, take
from tests.billing.verification.payment_rows import add_payment

pytestmark = pytest.mark.usefixtures("house")

HAPPENED = datetime(2026, 11, 1, 8, tzinfo=UTC)


def page(api: ApiProcess, account: str, what: str, **query: object) -> dict[str, Any]:
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    answer = api.ask(f"/v1/accounts/{quote(account)}/{what}?{asked}", HOUSE_KEY)
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    assert shown.keys() == {what, "next"}
    return shown


def pages(api: ApiProcess, account: str, what: str) -> Iterator[list[Any]]:
    after = None
    while True:
        shown = page(api, account, what, after=after)
        yield shown[what]
        after = shown["next"]
        if after is None:
            return


def versions(api: ApiProcess, account: str, **query: object) -> list[int]:
    return [t["version"] for t in page(api, account, "transactions", **query)["transactions"]]


def test_a_transaction_is_told_in_full(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}", credits_=1_000)
    before = clock.now()
    [posted] = post_all(
        take(
            180, account=account, key=f"lead:L-{number}:charge", description="Lead",
            event_at=HAPPENED, lead_id=f"L-{number}", payment_id="pay_1",
        )
    )  # fmt: skip

    [newest, oldest] = page(api, account, "transactions")["transactions"]

    assert before <= datetime.fromisoformat(newest.pop("created_at")) <= clock.now()
    assert newest == {
        "id": posted.transaction_id, "version": 2, "amount": -180, "balance_after": 820,
        "kind": "lead_charge", "idempotency_key": f"lead:L-{number}:charge", "description": "Lead",
        "lead_id": f"L-{number}", "payment_id": "pay_1", "event_at": "2026-11-01T08:00:00Z",
    }  # fmt: skip
    assert (oldest["kind"], oldest["amount"], oldest["lead_id"]) == ("goodwill", 1_000, None)


def test_nothing_has_happened_on_a_new_account(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}")

    for what in ("transactions", "payments"):
        assert page(api, account, what) == {what: [], "next": None}


@pytest.mark.parametrize(("count", "sizes"), [(20, [20]), (21, [20, 1]), (45, [20, 20, 5])])
def test_transactions_come_in_pages_of_20_newest_first(
    api: ApiProcess, number: int, count: int, sizes: list[int]
) -> None:
    account = open_account(f"clinic:{number}")
    post_all(*[give(1, account=account, key=f"g-{number}-{n}") for n in range(count)])

    read = list(pages(api, account, "transactions"))

    assert [len(part) for part in read] == sizes
    assert [row["version"] for part in read for row in part] == list(range(count, 0, -1))


def test_transactions_stay_in_order_while_rows_come_in(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}")
    post_all(*[give(1, account=account, key=f"g-{number}-{n}") for n in range(45)])

    seen = []
    for turn, rows in enumerate(pages(api, account, "transactions")):
        seen += [row["version"] for row in rows]
        post_all(*[give(1, account=account, key=f"g-{number}-{turn}-{n}") for n in "abc"])

    assert seen == list(range(45, 0, -1))


def test_payments_stay_in_order_while_rows_come_in(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}")
    for n in range(45):
        add_payment(account, f"pay_{number}_{n}")

    seen = []
    for turn, rows in enumerate(pages(api, account, "payments")):
        seen += [row["payment_id"] for row in rows]
        add_payment(account, f"pay_{number}_in_turn_{turn}")

    assert seen == [f"pay_{number}_{n}" for n in range(44, -1, -1)]


def test_transactions_are_found_by_what_they_are_about(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}")
    post_all(
        give(1_000, account=account, key=f"a-{number}", payment_id="pay_a", event_at=HAPPENED),
        take(100, account=account, key=f"b-{number}", lead_id="L-b"),
        take(100, account=account, key=f"c-{number}", lead_id="L/c é"),
    )

    assert versions(api, account, kind="lead_charge") == [3, 2]
    assert versions(api, account, lead_id="L/c é") == [3]
    assert versions(api, account, payment_id="pay_a") == [1]
    assert versions(api, account, payment_id="pay_a", kind="lead_charge") == []
    assert versions(api, account, since="2026-11-01T13:30:00+05:30") == [3, 2, 1]
    assert versions(api, account, since="2026-11-01T08:00:00.000001Z") == [3, 2]
    assert versions(api, account, until="2026-11-01T08:00:00Z") == []
    assert versions(api, account, until="2026-11-01T08:00:00.000001Z", after="3") == [1]


def test_a_payment_is_told_in_full(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}")
    add_payment(
        account, f"pay_{number}", gateway_order_id=f"order_{number}", credits=5_000,
        bonus_credits=500, amount_paise=500_000, refunded_paise=100, state="partially_refunded",
    )  # fmt: skip

    [shown] = page(api, account, "payments")["payments"]

    assert shown == {
        "payment_id": f"pay_{number}", "gateway": "razorpay", "order_id": f"order_{number}",
        "state": "partially_refunded", "reason": None, "amount_paise": 500_000, "currency": "INR",
        "refunded_paise": 100, "credits": 5_000, "bonus_credits": 500, "method": "upi",
        "created_at": "2026-11-20T08:00:00Z", "credited_at": "2026-11-20T08:00:00Z",
    }  # fmt: skip


def test_payments_are_found_by_state_and_of_the_account_alone(api: ApiProcess, number: int) -> None:
    account, other = (open_account(f"clinic:{side}-{number}") for side in "ab")
    add_payment(account, f"pay_1_{number}")
    add_payment(other, f"pay_2_{number}")
    add_payment(account, f"pay_3_{number}", state="quarantined", reason="amount", credited_at=None)
    add_payment(None, f"pay_4_{number}", state="unmatched", reason="no order", credited_at=None)

    def ids(**query: object) -> list[str]:
        return [p["payment_id"] for p in page(api, account, "payments", **query)["payments"]]

    assert ids() == [f"pay_3_{number}", f"pay_1_{number}"]
    assert ids(state="captured") == [f"pay_1_{number}"]
    assert ids(state="unmatched") == []


@pytest.mark.parametrize(
    ("what", "query", "field"),
    [
        *[
            (what, f"after={after}", "after")
            for what in ("transactions", "payments")
            for after in ("", "0", "-1", "x", "1.0", "1e3", "%00", "9" * 19, "9" * 400, "%D9%A1")
        ],
        ("transactions", "kind=gift", "kind"),
        ("transactions", "since=yesterday", "since"),
        ("transactions", "since=2026-11-01", "since"),
        ("transactions", "since=2026-11-01T00:00:00", "since"),
        ("transactions", "since=1700000000", "since"),
        ("transactions", "until=0001-01-01T00:00:00Z", "until"),
        ("transactions", "until=9999-12-31T23:59:59-12:00", "until"),
        ("transactions", "since=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z", "until"),
        ("transactions", "lead_id=a%00b", "lead_id"),
        ("transactions", "payment_id=" + "x" * 201, "payment_id"),
        ("transactions", "leadid=L-1", "leadid"),
        ("payments", "state=paid", "state"),
        ("payments", "kind=top_up", "kind"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(
    api: ApiProcess, number: int, what: str, query: str, field: str
) -> None:
    account = open_account(f"clinic:{number}")

    answer = api.ask(f"/v1/accounts/{account}/{what}?{query}", HOUSE_KEY)

    assert answer.status == 422
    assert [error["field"] for error in problem(answer)["errors"]] == [field]
