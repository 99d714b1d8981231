"""`/v1/catalog`: what is sold to accounts in a key's reach, at the figures of an order."""

from typing import Any

import pytest

from billing.access import keys as api_keys
from billing.payments.pricing import credits_for
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.api.given import Shop
from tests.billing.given import open_account
from tests.billing.plans.given import open_pharmacy

pytestmark = pytest.mark.usefixtures("house")


def make_key(name: str, **more: object) -> str:
    with transaction(Role.OWNER) as session:
        return api_keys.create(session, name=name, **more)  # type: ignore[arg-type]


def catalog_of(api: ApiProcess, key: str, query: str = "") -> dict[str, Any]:
    answer = api.ask(f"/v1/catalog{query}", key)
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    return shown


def products_in(shown: dict[str, Any]) -> set[str]:
    """Every product that anything in a catalog is for."""
    parts = ("packages", "free_amounts", "plans")
    return {p["name"] for p in shown["products"]} | {
        offer["product"] for part in parts for offer in shown[part]
    }


def test_all_that_is_sold_is_shown_with_what_it_brings(api: ApiProcess) -> None:
    shown = catalog_of(api, HOUSE_KEY)

    assert products_in(shown) == {"clinic_leads", "pharmapulse_one"}
    packages = {offer.pop("name"): offer for offer in shown["packages"]}
    assert packages["credits_25000"] == {
        "product": "clinic_leads", "price_paise": 2_500_000, "credits": 25_000,
        "bonus_credits": 5_000,
    }  # fmt: skip
    assert packages["ai_credits_50000"] == {
        "product": "pharmapulse_one", "price_paise": 250_000, "credits": 50_000,
        "bonus_credits": 0,
    }  # fmt: skip
    terms = {
        "product": "pharmapulse_one", "monthly_credits": 50_000, "branches": 1,
        "features": ["all_features", "priority_support"],
    }  # fmt: skip
    assert shown["plans"] == [
        {"name": "pharmapulse_one", "price_paise": 1_500_000, "renews": None, **terms},
        {"name": "plan_renewal", "price_paise": 100_000, "renews": "pharmapulse_one", **terms},
    ]
    assert [(t["from_paise"], t["credits"]) for t in shown["lead_pricing"]["tiers"]][:2] == [
        (0, 100), (500_000, 180),
    ]  # fmt: skip
    assert shown["disputes"]["window_days"] == 30
    assert "wrong_number" in shown["disputes"]["types"]


def test_an_order_costs_and_brings_what_the_catalog_shows(shop: Shop, number: int) -> None:
    clinic, pharmacy = open_account(f"clinic:{number}"), open_pharmacy(f"pharmacy:{number}")
    shown = catalog_of(shop.api, shop.house_key)

    for offer in shown["packages"]:
        ref = clinic if offer["product"] == "clinic_leads" else pharmacy
        order = shop.buy(ref, package=offer["name"])
        fields = {"price_paise": "amount_paise", "credits": "credits"} | {
            "bonus_credits": "bonus_credits"
        }
        assert [offer[f] for f in fields] == [order[f] for f in fields.values()], offer["name"]
    for offer in shown["plans"]:
        if offer["renews"] is None:
            assert shop.buy(pharmacy, plan=offer["name"])["amount_paise"] == offer["price_paise"]


@pytest.mark.parametrize("paise", [100_000, 499_999, 500_000, 1_234_567, 9_999_999])
def test_a_platform_can_compute_what_a_free_amount_brings(api: ApiProcess, paise: int) -> None:
    [rule] = catalog_of(api, HOUSE_KEY)["free_amounts"]

    bought = paise * rule["credits_per_rupee"] // 100
    percent = max(slab["bonus_percent"] for slab in rule["slabs"] if slab["from_paise"] <= paise)

    assert (bought, bought * percent // 100) == credits_for(rule["product"], paise)
    assert rule["from_paise"] <= paise <= rule["to_paise"]


def test_the_ends_of_a_free_amount_are_those_of_an_order(shop: Shop, number: int) -> None:
    ref = open_account(f"clinic:{number}")
    [rule] = catalog_of(shop.api, shop.house_key)["free_amounts"]

    for paise in (rule["from_paise"] - 1, rule["to_paise"] + 1):
        body = {"account": ref, "gateway": "razorpay", "amount_paise": paise}
        assert problem(shop.post("/v1/orders", body))["errors"][0]["field"] == "amount_paise"
    assert shop.buy(ref, amount_paise=rule["from_paise"])["credits"] == 1_000


@pytest.mark.parametrize("by", ["product", "account"])
def test_a_key_sees_what_is_sold_for_its_own_product_alone(
    api: ApiProcess, number: int, by: str
) -> None:
    reach = "pharmapulse_one" if by == "product" else open_pharmacy(f"pharmacy:{number}")
    key = make_key(f"seller-{by}-{number}", **{by: reach})

    shown = catalog_of(api, key)

    assert products_in(shown) == {"pharmapulse_one"}
    assert shown["free_amounts"] == []  # sold in packages only
    assert catalog_of(api, key, "?product=pharmapulse_one") == shown
    # And of another product there is nothing, whatever the filter says
    assert products_in(catalog_of(api, key, "?product=clinic_leads")) == set()


def test_the_house_may_ask_for_one_product(api: ApiProcess) -> None:
    assert products_in(catalog_of(api, HOUSE_KEY, "?product=clinic_leads")) == {"clinic_leads"}


@pytest.mark.parametrize(
    ("query", "field"),
    [("product=leads", "product"), ("product=", "product"), ("porduct=clinic_leads", "porduct")],
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(
    api: ApiProcess, query: str, field: str
) -> None:
    answer = api.ask(f"/v1/catalog?{query}", HOUSE_KEY)

    assert answer.status == 422
    assert [error["field"] for error in problem(answer)["errors"]] == [field]


def test_the_catalog_needs_a_key_with_its_scope(api: ApiProcess, number: int) -> None:
    scopes = sorted(set(api_keys.SCOPES) - {"catalog:read"})
    key = make_key(f"blind-{number}", product="clinic_leads", scopes=scopes)

    answer = api.ask("/v1/catalog", key)

    assert answer.status == 403
    assert "catalog:read" in problem(answer)["detail"]
    assert api.ask("/v1/catalog").status == 401
