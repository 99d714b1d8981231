"""`POST /v1/orders` over HTTP: what can be bought, who may, and the answer to a bad request."""

from typing import Any

import pytest

from billing import accounts
from billing.access import keys as api_keys
from billing.plans import manual_years as plan_admin
from billing.plans.manual_years import ManualYear
from db.roles import Role
from db.session import transaction
from tests.api.api_process import problem
from tests.api.given import RETURN_URL, Shop, wish
from tests.billing.given import open_account, rows

pytestmark = pytest.mark.usefixtures("house")


@pytest.fixture
def clinic(number: int) -> str:
    return open_account(f"clinic:{number}")


@pytest.fixture
def pharmacy(number: int) -> str:
    ref = f"pharmacy:{number}"
    with transaction() as session:
        accounts.create(session, ref=ref, name="A pharmacy", product="pharmapulse_one")
    return ref


def orders_of(account: str) -> list[tuple[object, ...]]:
    """(state, gateway's id) of an account's orders, oldest first."""
    return list(
        rows(
            "SELECT o.state, o.gateway_order_id FROM billing_orders o"
            " JOIN accounts a ON a.id = o.account_id WHERE a.ref = :ref ORDER BY o.id",
            ref=account,
        )
    )


def test_a_package_at_razorpay_is_an_order_to_open_the_checkout_with(
    shop: Shop, clinic: str
) -> None:
    answer = shop.post("/v1/orders", wish(clinic))

    assert answer.status == 201
    [there] = shop.at_razorpay(clinic)
    assert answer.json == {
        "order_id": there["id"], "gateway": "razorpay", "account": clinic,
        "key_id": "rzp_test_tests", "amount_paise": 500_000, "currency": "INR", "credits": 5_000,
        "bonus_credits": 500, "state": "open", "checkout_url": None, "package": "credits_5000",
        "plan": None, "payment_id": None, "created_at": answer.json["created_at"],
    }  # fmt: skip
    assert (there["amount"], there["currency"]) == (500_000, "INR")
    assert orders_of(clinic) == [("open", there["id"])]


def test_a_package_at_stripe_is_a_page_to_send_the_customer_to(shop: Shop, clinic: str) -> None:
    shown = shop.buy(clinic, "stripe", return_url=f"{RETURN_URL}?tab=1")

    [there] = shop.at_stripe(clinic)
    assert (shown["order_id"], shown["checkout_url"]) == (there["id"], there["url"])
    assert (shown["key_id"], there["amount_total"], there["currency"]) == ("", 500_000, "inr")
    assert there["success_url"].startswith(f"{RETURN_URL}?tab=1&payment=success")


@pytest.mark.parametrize(
    ("wanted", "brings"),
    [
        ({"package": "credits_1000"}, (100_000, 1_000, 0)),
        ({"package": "credits_50000"}, (5_000_000, 50_000, 12_500)),
        ({"amount_paise": 100_000}, (100_000, 1_000, 0)),
        ({"amount_paise": 499_999}, (499_999, 4_999, 0)),
        ({"amount_paise": 1_000_050}, (1_000_050, 10_000, 1_500)),
    ],
)
def test_what_credit_costs_and_brings(
    shop: Shop, clinic: str, wanted: dict[str, Any], brings: tuple[int, ...]
) -> None:
    shown = shop.buy(clinic, **wanted)

    assert (shown["amount_paise"], shown["credits"], shown["bonus_credits"]) == brings
    assert shop.at_razorpay(clinic)[0]["amount"] == brings[0]


@pytest.mark.parametrize(
    ("wanted", "brings"),
    [
        ({"package": "ai_credits_50000"}, (250_000, 50_000, 0)),
        ({"plan": "pharmapulse_one"}, (1_500_000, 0, 0)),
    ],
)
def test_what_a_pharmacy_buys(
    shop: Shop, pharmacy: str, wanted: dict[str, Any], brings: tuple[int, ...]
) -> None:
    shown = shop.buy(pharmacy, **wanted)

    assert (shown["amount_paise"], shown["credits"], shown["bonus_credits"]) == brings


def test_a_plan_is_renewed_once_there_is_one(shop: Shop, pharmacy: str) -> None:
    early = shop.post("/v1/orders", wish(pharmacy, "razorpay", plan="plan_renewal"))
    assert "no plan to renew: order pharmapulse_one first" in problem(early)["detail"]

    with transaction() as session:
        paid = ManualYear(pharmacy, "transfer 4711", "ops", pharmacy)
        plan_admin.activate(session, paid, plan="pharmapulse_one")

    shown = shop.buy(pharmacy, plan="plan_renewal")
    assert (shown["amount_paise"], shown["credits"], shown["bonus_credits"]) == (100_000, 0, 0)


def test_who_has_no_plans_is_told_so(shop: Shop, clinic: str) -> None:
    refused = shop.post("/v1/orders", wish(clinic, "razorpay", plan="pharmapulse_one"))

    assert problem(refused)["detail"] == "plan: clinic_leads has no plans"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account": None}, "account"),
        ({"account": "a\x00b"}, "account"),
        ({"account": 42}, "account"),
        ({"gateway": "paypal"}, "gateway"),
        ({"gateway": None}, "gateway"),
        ({"package": "credits_7"}, "package"),
        ({"package": ""}, "package"),
        ({"package": "credits_5000\x00"}, "package"),
        ({"package": "ai_credits_50000"}, "package"),
        ({"package": ["credits_5000"]}, "package"),
        ({"package": None}, "package"),
        ({"package": "credits_5000", "amount_paise": 500_000}, "package"),
        ({"package": "credits_5000", "plan": "pharmapulse_one"}, "package"),
        ({"package": None, "plan": "pharmapulse_one"}, "plan"),
        ({"package": None, "plan": "credits_5000"}, "plan"),
        ({"package": None, "amount_paise": 99_999}, "amount_paise"),
        ({"package": None, "amount_paise": 0}, "amount_paise"),
        ({"package": None, "amount_paise": -500_000}, "amount_paise"),
        ({"package": None, "amount_paise": 10**11 + 1}, "amount_paise"),
        ({"package": None, "amount_paise": 10**40}, "amount_paise"),
        ({"package": None, "amount_paise": "500000"}, "amount_paise"),
        ({"package": None, "amount_paise": 500_000.0}, "amount_paise"),
        ({"package": None, "amount_paise": True}, "amount_paise"),
        ({"gateway": "stripe"}, "return_url"),
        ({"gateway": "stripe", "return_url": "clinic.example"}, "return_url"),
        ({"gateway": "stripe", "return_url": "javascript:alert(1)"}, "return_url"),
        ({"gateway": "stripe", "return_url": "https://"}, "return_url"),
        ({"gateway": "stripe", "return_url": "https://[::1"}, "return_url"),
        ({"gateway": "stripe", "return_url": "https://clinic.example/a b"}, "return_url"),
        ({"gateway": "stripe", "return_url": "https://clinic.example/\x00"}, "return_url"),
        ({"gateway": "stripe", "return_url": "https://क्लिनिक.example/"}, "return_url"),
        ({"gateway": "stripe", "return_url": f"{RETURN_URL}/{'x' * 1_000}"}, "return_url"),
        ({"discount": 100}, "discount"),
    ],
    ids=str,
)
def test_a_bad_field_is_named_and_nothing_is_ordered(
    shop: Shop, clinic: str, changes: dict[str, Any], field: str
) -> None:
    answer = shop.post("/v1/orders", {"package": "credits_5000", **_base(clinic), **changes})

    assert answer.status == 422, answer.body
    assert problem(answer)["errors"][0]["field"] == field
    assert orders_of(clinic) == shop.at_razorpay(clinic) == shop.at_stripe(clinic) == []


def _base(clinic: str) -> dict[str, object]:
    return {"account": clinic, "gateway": "razorpay"}


def test_a_product_without_prices_by_the_rupee_says_so(shop: Shop, pharmacy: str) -> None:
    answer = shop.post("/v1/orders", wish(pharmacy, amount_paise=250_000))

    assert answer.status == 422
    assert problem(answer)["errors"][0]["field"] == "amount_paise"


def test_an_account_that_a_key_cannot_see_is_one_that_is_not_there(
    shop: Shop, clinic: str, pharmacy: str, number: int
) -> None:
    neighbour = open_account(f"clinic:b-{number}")
    with transaction(Role.OWNER) as session:
        product_key = api_keys.create(session, name=f"shop-p-{number}", product="clinic_leads")
        account_key = api_keys.create(session, name=f"shop-a-{number}", account=clinic)

    unknown = shop.post("/v1/orders", wish("clinic:of-nobody"))

    assert unknown.status == 404
    for key, ref in ((product_key, pharmacy), (account_key, pharmacy), (account_key, neighbour)):
        hidden = shop.post("/v1/orders", wish(ref), key=key)
        assert (hidden.status, hidden.but_for_its_id) == (404, unknown.but_for_its_id)
        assert orders_of(ref) == []
    for key in (product_key, account_key):
        assert shop.post("/v1/orders", wish(clinic), key=key).status == 201


def test_a_key_without_the_right_to_order_orders_nothing(
    shop: Shop, clinic: str, number: int
) -> None:
    with transaction(Role.OWNER) as session:
        key = api_keys.create(
            session, name=f"reader-{number}", account=clinic, scopes=["payments:read"]
        )

    answer = shop.post("/v1/orders", wish(clinic), key=key)

    assert answer.status == 403
    assert "orders:write" in problem(answer)["detail"]
    assert orders_of(clinic) == []


def test_every_change_of_an_order_is_in_the_audit_log_with_who_asked(
    shop: Shop, clinic: str
) -> None:
    shop.buy(clinic)

    assert rows(
        "SELECT l.action, l.actor, l.door FROM billing_audit_log l JOIN billing_orders o"
        " ON l.subject = 'order:' || o.receipt JOIN accounts a ON a.id = o.account_id"
        " WHERE a.ref = :ref ORDER BY l.id",
        ref=clinic,
    ) == [("order.requested", "api-key:house", "api"), ("order.open", "api-key:house", "api")]
