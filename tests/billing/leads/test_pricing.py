"""What a lead costs: the six tiers of the shipped catalog, and tables of any shape."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import catalog
from billing.catalog import LeadTier
from billing.leads.pricing import lead_price_credits

SHIPPED = catalog.load(Path(__file__).parents[3] / "catalog.toml").lead_pricing.tiers


@pytest.mark.parametrize(
    ("package_price_paise", "credits_"),
    [
        (0, 100),
        (499_999, 100),
        (500_000, 180),
        (500_001, 180),
        (999_999, 180),
        (1_000_000, 250),
        (1_999_999, 250),
        (2_000_000, 320),
        (4_999_999, 320),
        (5_000_000, 400),
        (9_999_999, 400),
        (10_000_000, 500),
        (10_000_001, 500),
        (2**53 - 1, 500),
    ],
)
def test_a_lower_bound_belongs_to_its_tier(package_price_paise: int, credits_: int) -> None:
    assert lead_price_credits(package_price_paise, SHIPPED) == credits_


@given(
    bounds=st.sets(st.integers(1, 10**9), max_size=8),
    price=st.integers(0, 2 * 10**9),
)
def test_the_price_is_that_of_the_highest_bound_reached(bounds: set[int], price: int) -> None:
    # Given a table whose tier number n costs n + 1 credits
    tiers = [
        LeadTier(from_paise=bound, credits=number)
        for number, bound in enumerate(sorted({0, *bounds}), start=1)
    ]
    # When a lead is priced, Then it costs the tier of the highest bound that it reaches
    reached = [tier for tier in tiers if tier.from_paise <= price]
    assert lead_price_credits(price, tiers) == reached[-1].credits
