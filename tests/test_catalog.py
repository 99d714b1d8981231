"""catalog.toml: the numbers of the business as documented, and errors that name the place."""

from pathlib import Path

import pytest

import settings
from billing import catalog
from billing.catalog import CatalogError

RUPEE = 100

TIERS = """
[lead_pricing]
tiers = [
    { from_paise = 0, credits = 100 },
    { from_paise = 500_000, credits = 180 },
]
"""
PRODUCTS = """
[products]
clinic_leads = { name = "Clinic marketplace" }
"""

BAD_BANNERS = [
    *("{price}", "{}", "{plan", "plan}", "{0}", "{plan.price}", "{days_left:d}"),
    # What could be filled in with nothing, and fails or misleads with a date
    *("{plan:{due_on}}", "{plan.upper}", "{plan!r}"),
]


def refusal(tmp_path: Path, content: str | bytes) -> str:
    file = tmp_path / "catalog.toml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CatalogError) as caught:
        catalog.load(file)
    message = str(caught.value)
    assert all(line.startswith(f"{file}: ") for line in message.split("\n"))
    return message.replace(f"{file}: ", "")


def test_the_catalog_that_is_delivered_holds_the_agreed_numbers() -> None:
    found = catalog.load(settings.PROJECT_DIR / "catalog.toml")

    assert [(tier.from_paise, tier.credits) for tier in found.lead_pricing.tiers] == [
        (0, 100),
        (5_000 * RUPEE, 180),
        (10_000 * RUPEE, 250),
        (20_000 * RUPEE, 320),
        (50_000 * RUPEE, 400),
        (100_000 * RUPEE, 500),
    ]
    assert {ref: product.name for ref, product in found.products.items()} == {
        "clinic_leads": "Clinic marketplace",
        "pharmapulse_one": "PharmaPulse One",
    }


def test_a_catalog_of_ones_own_is_read_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(TIERS + PRODUCTS)
    monkeypatch.setenv("BILLING_CATALOG", str(own))
    settings.get.cache_clear()
    catalog.get.cache_clear()
    try:
        assert [tier.credits for tier in catalog.get().lead_pricing.tiers] == [100, 180]
        assert list(catalog.get().products) == ["clinic_leads"]
    finally:
        monkeypatch.undo()
        settings.get.cache_clear()
        catalog.get.cache_clear()


@pytest.mark.parametrize(
    ("tiers", "told"),
    [
        ("[]", "lead_pricing.tiers: the first tier must start at from_paise = 0"),
        ("[{from_paise = 1, credits = 1}]", "lead_pricing.tiers: the first tier must start at"),
        (
            "[{from_paise = 0, credits = 1}, {from_paise = 0, credits = 2}]",
            "lead_pricing.tiers: tiers must rise: 0 comes after 0",
        ),
        (
            "[{from_paise = 0, credits = 1}, {from_paise = 9, credits = 2},"
            " {from_paise = 5, credits = 3}]",
            "lead_pricing.tiers: tiers must rise: 5 comes after 9",
        ),
        ("[{from_paise = -1, credits = 1}]", "lead_pricing.tiers.0.from_paise: Input should be"),
        ("[{from_paise = 0, credits = 0}]", "lead_pricing.tiers.0.credits: Input should be"),
        ("[{from_paise = 0, credits = -5}]", "lead_pricing.tiers.0.credits: Input should be"),
        ("[{from_paise = 0, credits = 1.5}]", "lead_pricing.tiers.0.credits: Input should be"),
        ("[{from_paise = 0, credits = 100.0}]", "lead_pricing.tiers.0.credits: Input should be"),
        ("[{from_paise = 0, credits = '100'}]", "lead_pricing.tiers.0.credits: Input should be"),
        ("[{from_paise = 0, credits = true}]", "lead_pricing.tiers.0.credits: Input should be"),
        ("[{from_paise = 0, credits = inf}]", "lead_pricing.tiers.0.credits: Input should be"),
        (
            # More than one posting of the ledger can take: every lead would be refused later.
            "[{from_paise = 0, credits = 1_000_000_000_001}]",
            "lead_pricing.tiers.0.credits: Input should be",
        ),
        ("[{from_paise = 0}]", "lead_pricing.tiers.0.credits: Field required"),
        ("[{credits = 1}]", "lead_pricing.tiers.0.from_paise: Field required"),
        (
            "[{from_paise = 0, credits = 1, credit = 2}]",
            "lead_pricing.tiers.0.credit: Extra inputs are not permitted",
        ),
        ("{from_paise = 0, credits = 1}", "lead_pricing.tiers: Input should be a valid list"),
        ("100", "lead_pricing.tiers: Input should be a valid list"),
    ],
)
def test_a_price_table_that_makes_no_sense_is_refused_by_place(
    tmp_path: Path, tiers: str, told: str
) -> None:
    assert refusal(tmp_path, f"[lead_pricing]\ntiers = {tiers}\n{PRODUCTS}").startswith(told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "lead_pricing: Field required\nproducts: Field required"),
        (TIERS, "products: Field required"),
        (PRODUCTS, "lead_pricing: Field required"),
        (TIERS + PRODUCTS + "[offers]\n", "offers: Extra inputs are not permitted"),
        ("currency = 'INR'\n" + TIERS + PRODUCTS, "currency: Extra inputs are not permitted"),
        (TIERS + "[products]\nx = {}\n", "products.x.name: Field required"),
        (TIERS + "[products]\nx = 'X'\n", "products.x: Input should be"),
        (TIERS + "[products]\nx = { name = 5 }\n", "products.x.name: Input should be a valid str"),
        (TIERS + "[products]\n", "products: "),
        (TIERS + "[products]\nx = { name = '' }\n", "products.x.name: "),
        (TIERS + TIERS + PRODUCTS, "is not TOML: "),
        ("tiers = [", "is not TOML: "),
        ("\x00", "is not TOML: "),
        (b"\xff\xfe", "is not TOML: "),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(
    tmp_path: Path, content: str | bytes, told: str
) -> None:
    assert refusal(tmp_path, content).startswith(told)


def test_the_delivered_disputes_and_grades_are_those_that_a_catalog_without_them_has(
    tmp_path: Path,
) -> None:
    delivered = catalog.load(settings.PROJECT_DIR / "catalog.toml")
    older = tmp_path / "older.toml"
    older.write_text(TIERS + PRODUCTS)

    assert delivered.disputes.types == [
        "wrong_number", "duplicate", "not_interested", "outside_area", "spam", "other",
    ]  # fmt: skip
    assert catalog.load(older).disputes == delivered.disputes
    assert catalog.load(older).quality == delivered.quality


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("[disputes]\nwindow_days = 0", "disputes.window_days: Input should be greater than 0"),
        ("[disputes]\ntypes = []", "disputes.types: List should have at least 1 item"),
        ("[disputes]\ntypes = ['Spam!']", "disputes.types.0: String should match pattern"),
        ("[disputes]\ntypes = ['a', 'a']", "disputes.types: each type stands once"),
        ("[quality]\nmin_leads = 0", "quality.min_leads: Input should be greater than 0"),
        ("[quality]\nreview_from_percent = 101", "quality.review_from_percent: Input should be"),
        (
            "[quality]\ngood_below_percent = 26",
            "quality: poor_from_percent must not be less than good_below_percent",
        ),
    ],
)
def test_disputes_and_grades_that_make_no_sense_are_refused_by_place(
    tmp_path: Path, section: str, told: str
) -> None:
    assert refusal(tmp_path, f"{TIERS}{PRODUCTS}{section}\n").startswith(told)


PLANS = """
[plans]
basic = { product = "clinic_leads", price_paise = 1_500_000, monthly_credits = 50 }
basic_renewal = { product = "clinic_leads", price_paise = 100_000, renews = "basic" }
"""


def test_the_delivered_plans_entitlements_and_banners_are_the_agreed_ones() -> None:
    found = catalog.load(settings.PROJECT_DIR / "catalog.toml")

    plan, renewal = found.plans["pharmapulse_one"], found.plans["plan_renewal"]
    assert (plan.price_paise, plan.monthly_credits, plan.branches) == (15_000 * RUPEE, 50_000, 1)
    assert (renewal.price_paise, renewal.renews) == (1_000 * RUPEE, "pharmapulse_one")
    assert (found.renewal.due_soon_days, found.renewal.grace_days) == (30, 15)
    assert {-30, -7, -1} <= set(found.renewal.reminder_days)
    assert list(found.entitlements) == [
        "core_features", "spend_credits", "monthly_grant", "updates", "priority_support",
        "new_branches",
    ]  # fmt: skip
    assert list(found.banners) == ["due_soon", "past_due", "degraded"]


def test_a_catalog_without_plans_knows_none(tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(TIERS + PRODUCTS)

    found = catalog.load(file)

    assert (found.plans, found.entitlements, found.banners) == ({}, {}, {})
    assert (found.renewal.grace_days, found.grants.catch_up_months) == (15, 12)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (
            "[plans]\nx = { product = 'clinic_leads', price_paise = 100 }",
            "plans.x: needs monthly_credits for a plan, or renews for a year more of one",
        ),
        (
            PLANS.replace("monthly_credits = 50 ", "monthly_credits = 50, renews = 'basic' "),
            "plans.basic: needs monthly_credits for a plan, or renews",
        ),
        (
            "[plans]\nx = { product = 'clinic_leads', price_paise = 100, renews = 'gold' }",
            "plans.x: renews names no plan of clinic_leads",
        ),
        (
            PLANS + "again = { product = 'clinic_leads', price_paise = 100,"
            " renews = 'basic_renewal' }",
            "plans.again: renews names no plan of clinic_leads",
        ),
        (
            "[plans]\nx = { product = 'gold', price_paise = 100, monthly_credits = 1 }",
            "plans.x: there is no product 'gold'",
        ),
        (
            PLANS.replace("monthly_credits = 50 ", "monthly_credits = -1 "),
            "plans.basic.monthly_credits: Input should be greater than or equal to 0",
        ),
        (
            PLANS.replace("monthly_credits = 50 ", "monthly_credits = 5, features = ['A!'] "),
            "plans.basic.features.0: String should match pattern",
        ),
        ("[renewal]\ndue_soon_days = 0", "renewal.due_soon_days: Input should be greater than 0"),
        ("[renewal]\ngrace_days = -1", "renewal.grace_days: Input should be greater than"),
        ("[renewal]\nreminder_days = [-400]", "renewal.reminder_days.0: Input should be greater"),
        ("[grants]\ncatch_up_months = 0", "grants.catch_up_months: Input should be greater"),
        ("[entitlements]\nupdates = ['paid']", "entitlements.updates.0: Input should be 'none', "),
        ("[entitlements]\nupdates = 'active'", "entitlements.updates: Input should be a valid"),
        (
            "[entitlements]\nmonthly_grant = ['active', 'due_soon']",
            "entitlements: monthly_grant must be active, due_soon, past_due: it says what is done",
        ),
        (
            "[entitlements]\nspend_credits = ['active', 'due_soon', 'past_due', 'degraded']",
            "entitlements: spend_credits must be none, active, due_soon, past_due, degraded: it",
        ),
        (
            "[banners]\npaid = { level = 'info', text = 'x' }",
            "banners.paid.[key]: Input should be 'none', ",
        ),
        (
            "[banners]\nactive = { level = 'loud', text = 'x' }",
            "banners.active.level: Input should be 'info', ",
        ),
        ("[banners]\nactive = { level = 'info', text = '' }", "banners.active.text: String should"),
        *[
            (
                f"[banners]\ndue_soon = {{ level = 'info', text = '{text}' }}",
                "banners.due_soon.text: may hold {plan}, {due_on}, {days_left}, {grace_ends_on},"
                " {renewal_price} and nothing else in braces",
            )
            for text in BAD_BANNERS
        ],
        (
            "[banners]\nnone = { level = 'info', text = 'Buy {plan} by {due_on}' }",
            "banners.none: may hold {plan} and nothing else in braces",
        ),
    ],
)
def test_plans_and_what_they_bring_are_refused_by_place_where_they_make_no_sense(
    tmp_path: Path, section: str, told: str
) -> None:
    assert refusal(tmp_path, f"{TIERS}{PRODUCTS}{section}\n").startswith(told)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[lead_pricing]\ntiers = [{from_paise = 0, credits = 0}]\n")

    assert len(message.split("\n")) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(CatalogError, match="cannot be read: ") as caught:
            catalog.load(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_credit_given_back_lives_for_ten_years_at_most(tmp_path: Path) -> None:
    lots = TIERS + PRODUCTS + "[lots]\nrefund_of_expired_days = "
    assert "lots.refund_of_expired_days" in refusal(tmp_path, lots + "3651")
    file = tmp_path / "catalog.toml"
    file.write_text(lots + "3650")
    assert catalog.load(file).lots.refund_of_expired_days == 3650
