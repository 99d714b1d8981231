"""What was created can be asked for: orders, payments and refunds by their ids, within reach."""

from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

import clock
from db.models import Order, Payment
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.api.given import Shop
from tests.api.given_spending import fields, kind, make_key
from tests.api.test_refunds import paid, refund
from tests.billing.given import open_account
from tests.server_process import Answer

pytestmark = pytest.mark.usefixtures("house")

_numbers = count(1)


@pytest.fixture
def clinic(number: int) -> str:
    return open_account(f"clinic:{number}")


def show(shop: Shop, what: str, id_: object, key: str | None = None) -> Answer:
    return shop.api.ask(f"/v1/{what}/{id_}", key or shop.house_key)


def gateway_id(prefix: str) -> str:
    """An id that no gateway made."""
    return f"{prefix}_reads{next(_numbers)}"


def add_payment(account: str | None, payment_id: str, gateway: str = "razorpay") -> None:
    """A payment on record, credited to nobody."""
    with transaction() as session:
        account_id = session.scalar(text("SELECT id FROM accounts WHERE ref = :r"), {"r": account})
        session.add(
            Payment(
                gateway=gateway,
                gateway_payment_id=payment_id,
                account_id=account_id,
                state="failed",
                amount_paise=100,
                currency="INR",
                created_at=clock.now(),
                updated_at=clock.now(),
            )
        )


def test_an_order_is_shown_as_it_was_answered_and_then_as_it_was_paid(
    shop: Shop, clinic: str
) -> None:
    ordered = shop.buy(clinic)

    assert show(shop, "orders", ordered["order_id"]).json == ordered

    brought = shop.pay(ordered["order_id"])
    assert shop.verify(brought).status == 200
    shown = show(shop, "orders", ordered["order_id"])
    assert shown.status == 200
    assert shown.json == ordered | {"state": "paid", "payment_id": brought["payment_id"]}
    assert shown.headers["cache-control"] == "no-store"


def test_an_order_at_stripe_is_shown_with_its_page(shop: Shop, clinic: str) -> None:
    ordered = shop.buy(clinic, "stripe", amount_paise=250_000)

    shown = show(shop, "orders", ordered["order_id"]).json

    assert shown == ordered
    assert shown["checkout_url"].startswith("http")
    assert (shown["key_id"], shown["package"], shown["plan"]) == ("", None, None)


def test_an_order_is_shown_by_a_server_without_its_gateway(
    shop: Shop, api: ApiProcess, clinic: str
) -> None:
    ordered = shop.buy(clinic)

    shown = api.ask(f"/v1/orders/{ordered['order_id']}", HOUSE_KEY)

    assert shown.status == 200
    assert shown.json == ordered | {"key_id": ""}


def test_a_payment_is_shown_with_its_account_and_refunds(shop: Shop, clinic: str) -> None:
    payment_id = paid(shop, clinic)
    listed = shop.api.ask(f"/v1/accounts/{clinic}/payments", shop.house_key).json["payments"][0]
    before = show(shop, "payments", payment_id).json
    assert before == listed | {"account": clinic, "refunds": []}

    refunds = [refund(shop, payment_id, amount_paise=paise).json for paise in (100_000, 50_000)]

    shown = show(shop, "payments", payment_id).json
    assert shown["refunds"] == refunds
    assert (shown["state"], shown["refunded_paise"]) == ("partially_refunded", 150_000)


def test_a_refund_is_shown_as_it_was_answered(shop: Shop, clinic: str) -> None:
    refunded = refund(shop, paid(shop, clinic)).json

    shown = show(shop, "refunds", refunded["refund_id"])

    assert shown.status == 200
    assert shown.json == refunded


def test_what_is_out_of_reach_is_as_unknown_as_what_does_not_exist(
    shop: Shop, clinic: str, number: int
) -> None:
    order = shop.buy(clinic)["order_id"]
    payment = paid(shop, clinic)
    refunded = refund(shop, payment).json["refund_id"]
    other = open_account(f"clinic:other-{number}")
    strangers = [
        make_key(f"reads-other-{number}", account=other),
        make_key(f"reads-pharma-{number}", product="pharmapulse_one"),
    ]
    own = make_key(f"reads-own-{number}", account=clinic)
    things = {
        "orders": (order, gateway_id("order"), "unknown-order"),
        "payments": (payment, gateway_id("pay"), "unknown-payment"),
        "refunds": (refunded, "999999999", "unknown-refund"),
    }
    for what, (known, unknown, why) in things.items():
        assert show(shop, what, known, own).status == 200
        for key in strangers:
            hidden, nothing = (show(shop, what, id_, key) for id_ in (known, unknown))
            assert (hidden.status, kind(hidden)) == (404, why)
            assert _without_request_id(hidden) == _without_request_id(nothing)


@pytest.mark.parametrize("what", ["orders", "payments", "refunds"])
def test_each_read_needs_its_scope(shop: Shop, number: int, clinic: str, what: str) -> None:
    others = [f"{other}:read" for other in ("orders", "payments", "refunds") if other != what]
    key = make_key(f"reads-{what}-{number}", account=clinic, scopes=others)

    answer = show(shop, what, "1", key)

    assert answer.status == 403
    assert f"{what}:read" in problem(answer)["detail"]


def test_a_payment_of_no_known_account_is_shown_to_who_reaches_all(
    shop: Shop, number: int, clinic: str
) -> None:
    stray = gateway_id("pay")
    add_payment(None, stray)
    key = make_key(f"reads-all-{number}", product="clinic_leads")

    assert show(shop, "payments", stray).json["account"] is None
    assert show(shop, "payments", stray, key).status == 404


def test_one_id_at_two_gateways_is_the_payment_in_reach(
    shop: Shop, number: int, clinic: str
) -> None:
    # Given the same id at both gateways, of two tenants
    twice, other = gateway_id("pay"), open_account(f"clinic:other-{number}")
    add_payment(clinic, twice, "razorpay")
    add_payment(other, twice, "stripe")
    # Then each sees its own, and who reaches both is asked which
    for account, gateway in ((clinic, "razorpay"), (other, "stripe")):
        key = make_key(f"reads-{gateway}-{number}", account=account)
        shown = show(shop, "payments", twice, key).json
        assert (shown["account"], shown["gateway"]) == (account, gateway)
    both = show(shop, "payments", twice)
    assert (both.status, kind(both)) == (409, "ambiguous-payment")
    for gateway, account in (("razorpay", clinic), ("stripe", other)):
        assert show(shop, "payments", f"{twice}?gateway={gateway}").json["account"] == account


def test_one_id_at_two_gateways_is_the_order_in_reach(shop: Shop, number: int, clinic: str) -> None:
    order_id, other = shop.buy(clinic)["order_id"], open_account(f"clinic:other-{number}")
    with transaction() as session:
        account_id = session.scalar(text("SELECT id FROM accounts WHERE ref = :r"), {"r": other})
        session.add(
            Order(
                account_id=account_id,
                gateway="stripe",
                receipt=gateway_id("ord"),
                gateway_order_id=order_id,
                amount_paise=100,
                currency="INR",
                credits=1,
                bonus_credits=0,
                state="open",
                requested_by="test",
                created_at=clock.now(),
                updated_at=clock.now(),
            )
        )
    for account in (clinic, other):
        key = make_key(f"reads-{account.replace(':', '-')}-{number}", account=account)
        assert show(shop, "orders", order_id, key).json["account"] == account


@pytest.mark.parametrize(
    ("what", "id_", "field"),
    [
        ("orders", "x" * 201, "order_id"),
        ("payments", "a%00b", "payment_id"),
        ("refunds", "rfnd_1", "refund_id"),
        ("refunds", "0", "refund_id"),
        ("refunds", str(2**63), "refund_id"),
    ],
)
def test_an_id_that_cannot_be_one_is_refused_by_name(
    shop: Shop, what: str, id_: str, field: str
) -> None:
    assert fields(show(shop, what, id_)) == [field]


def _without_request_id(answer: Answer) -> dict[str, Any]:
    return {name: value for name, value in problem(answer).items() if name != "request_id"}
