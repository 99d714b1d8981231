"""Pricing: packages, any amount with the bonus of its slab, plans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments.pricing import MAX_ORDER_PAISE, Quote, credits_for, quote
from billing.plans import InvalidOrder

CLINIC, PHARMACY = "clinic_leads", "pharmapulse_one"
RUPEE = 100


def price(product: str = CLINIC, **wanted: object) -> Quote:
    request = {"package": None, "amount_paise": None, "plan": None} | wanted
    return quote(product, **request)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("package", "paise", "credits_", "bonus"),
    [
        ("credits_1000", 1_000 * RUPEE, 1_000, 0),
        ("credits_5000", 5_000 * RUPEE, 5_000, 500),
        ("credits_10000", 10_000 * RUPEE, 10_000, 1_500),
        ("credits_25000", 25_000 * RUPEE, 25_000, 5_000),
        ("credits_50000", 50_000 * RUPEE, 50_000, 12_500),
    ],
)
def test_packages_bring_what_was_agreed(
    package: str, paise: int, credits_: int, bonus: int
) -> None:
    found = price(package=package)

    assert (found.amount_paise, found.credits, found.bonus_credits) == (paise, credits_, bonus)
    # And the same amount without a package brings the same
    assert price(amount_paise=paise) == found


def test_a_package_of_ai_credits_has_its_own_price() -> None:
    found = price(PHARMACY, package="ai_credits_50000")

    assert (found.amount_paise, found.credits, found.bonus_credits) == (2_500 * RUPEE, 50_000, 0)


@pytest.mark.parametrize(
    ("paise", "credits_", "bonus"),
    [
        (1_000 * RUPEE, 1_000, 0),
        (1_234_56, 1_234, 0),
        (4_999_99, 4_999, 0),
        (5_000 * RUPEE, 5_000, 500),
        (5_555_55, 5_555, 555),
        (9_999_99, 9_999, 999),
        (10_000 * RUPEE, 10_000, 1_500),
        (24_999_99, 24_999, 3_749),
        (25_000 * RUPEE, 25_000, 5_000),
        (49_999_99, 49_999, 9_999),
        (50_000 * RUPEE, 50_000, 12_500),
        (1_000_000 * RUPEE, 1_000_000, 250_000),
    ],
)
def test_an_amount_brings_a_credit_a_rupee_and_the_bonus_of_its_slab_rounded_down(
    paise: int, credits_: int, bonus: int
) -> None:
    found = price(amount_paise=paise)

    assert (found.credits, found.bonus_credits) == (credits_, bonus)


@given(st.integers(1_000 * RUPEE, MAX_ORDER_PAISE), st.integers(0, 10**9))
def test_more_money_never_brings_less(paise: int, more: int) -> None:
    larger = min(paise + more, MAX_ORDER_PAISE)

    assert sum(credits_for(CLINIC, larger) or ()) >= sum(credits_for(CLINIC, paise) or ())


@pytest.mark.parametrize(
    ("product", "wanted", "field"),
    [
        (CLINIC, {}, "package"),
        (CLINIC, {"package": "credits_1000", "amount_paise": 100_000}, "package"),
        (CLINIC, {"package": "credits_1000", "plan": "pharmapulse_one"}, "package"),
        (CLINIC, {"package": "credits_1"}, "package"),
        (CLINIC, {"package": "ai_credits_50000"}, "package"),
        (CLINIC, {"plan": "pharmapulse_one"}, "plan"),
        (CLINIC, {"amount_paise": 999_99}, "amount_paise"),
        (CLINIC, {"amount_paise": 0}, "amount_paise"),
        (CLINIC, {"amount_paise": -100_000}, "amount_paise"),
        (CLINIC, {"amount_paise": MAX_ORDER_PAISE + 1}, "amount_paise"),
        (CLINIC, {"amount_paise": True}, "amount_paise"),
        (PHARMACY, {"amount_paise": 100_000}, "amount_paise"),
        (PHARMACY, {"package": "credits_1000"}, "package"),
        (PHARMACY, {"plan": "gold"}, "plan"),
    ],
)
def test_a_request_for_what_is_not_sold_is_refused_with_its_field(
    product: str, wanted: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidOrder) as caught:
        price(product, **wanted)

    assert caught.value.field == field


def test_plans_cost_what_was_agreed_and_bring_no_credit_by_themselves() -> None:
    plan = price(PHARMACY, plan="pharmapulse_one")
    renewal = price(PHARMACY, plan="plan_renewal")

    assert (plan.amount_paise, plan.credits) == (15_000 * RUPEE, 0)
    assert (renewal.amount_paise, renewal.credits) == (1_000 * RUPEE, 0)


def test_money_without_an_order_buys_credit_even_below_the_smallest_order() -> None:
    assert credits_for(CLINIC, 999_99) == (999, 0)
    assert credits_for(CLINIC, 99) == (0, 0)
    assert credits_for(PHARMACY, 2_500 * RUPEE) == (50_000, 0)
    assert credits_for(PHARMACY, 2_500 * RUPEE + 1) is None
