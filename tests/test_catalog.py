"""catalog.toml: the agreed numbers, and errors that name the file, the key and what to do."""

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
    # These can be filled in with nothing, and fail or mislead with a date.
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


def test_the_delivered_catalog_holds_the_agreed_numbers() -> None:
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


def test_the_environment_can_name_another_catalog(
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
    ("tiers", "error"),
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
            # More than one posting of the ledger can hold: every lead would be refused later.
            "[{from_paise = 0, credits = 1_000_000_000_001}]",
            "lead_pricing.tiers.0.credits: Input should be",
        ),
        ("[{from_paise = 0}]", "lead_pricing.tiers.0.credits: is missing: add it"),
        ("[{credits = 1}]", "lead_pricing.tiers.0.from_paise: is missing: add it"),
        (
            "[{from_paise = 0, credits = 1, credit = 2}]",
            "lead_pricing.tiers.0.credit: is not a key of the catalog: remove it",
        ),
        ("{from_paise = 0, credits = 1}", "lead_pricing.tiers: Input should be a valid list"),
        ("100", "lead_pricing.tiers: Input should be a valid list"),
    ],
)
def test_a_bad_price_table_is_refused_by_key(tmp_path: Path, tiers: str, error: str) -> None:
    assert refusal(tmp_path, f"[lead_pricing]\ntiers = {tiers}\n{PRODUCTS}").startswith(error)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "lead_pricing: is missing: add it\nproducts: is missing: add it"),
        (TIERS, "products: is missing: add it"),
        (PRODUCTS, "lead_pricing: is missing: add it"),
        (TIERS + PRODUCTS + "[offers]\n", "offers: is not a key of the catalog: remove it"),
        (
            "currency = 'INR'\n" + TIERS + PRODUCTS,
            "currency: is not a key of the catalog: remove it",
        ),
        (TIERS + "[products]\nx = {}\n", "products.x.name: is missing: add it"),
        (TIERS + "[products]\nx = 'X'\n", "products.x: Input should be"),
        (TIERS + "[products]\nx = { name = 5 }\n", "products.x.name: Input should be a valid str"),
        (TIERS + "[products]\n", "products: "),
        (TIERS + "[products]\nx = { name = '' }\n", "products.x.name: "),
        (TIERS + TIERS + PRODUCTS, "is not valid TOML: "),
        ("tiers = [", "is not valid TOML: "),
        ("\x00", "is not valid TOML: "),
        (b"\xff\xfe", "is not valid TOML: "),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: str | bytes, error: str) -> None:
    assert refusal(tmp_path, content).startswith(error)


def test_the_delivered_disputes_and_grades_are_the_defaults(
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
    ("section", "error"),
    [
        ("[disputes]\nwindow_days = 0", "disputes.window_days: Input should be greater than 0"),
        ("[disputes]\ntypes = []", "disputes.types: List should have at least 1 item"),
        ("[disputes]\ntypes = ['Spam!']", "disputes.types.0: String should match pattern"),
        (
            "[disputes]\ntypes = ['a', 'a']",
            "disputes.types: each type may stand once: remove the second 'a'",
        ),
        ("[quality]\nmin_leads = 0", "quality.min_leads: Input should be greater than 0"),
        ("[quality]\nreview_from_percent = 101", "quality.review_from_percent: Input should be"),
        (
            "[quality]\ngood_below_percent = 26",
            "quality: poor_from_percent must not be less than good_below_percent",
        ),
    ],
)
def test_bad_disputes_and_grades_are_refused_by_key(
    tmp_path: Path, section: str, error: str
) -> None:
    assert refusal(tmp_path, f"{TIERS}{PRODUCTS}{section}\n").startswith(error)


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


def test_a_catalog_without_plans_has_none(tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(TIERS + PRODUCTS)

    found = catalog.load(file)

    assert (found.plans, found.entitlements, found.banners) == ({}, {}, {})
    assert (found.renewal.grace_days, found.grants.catch_up_months) == (15, 12)


@pytest.mark.parametrize(
    ("section", "error"),
    [
        (
            "[plans]\nx = { product = 'clinic_leads', price_paise = 100 }",
            "plans.x: needs either monthly_credits (a plan) or renews (a further year)",
        ),
        (
            PLANS.replace("monthly_credits = 50 ", "monthly_credits = 50, renews = 'basic' "),
            "plans.basic: needs either monthly_credits (a plan) or renews",
        ),
        (
            "[plans]\nx = { product = 'clinic_leads', price_paise = 100, renews = 'gold' }",
            "plans.x: renews must name a plan of clinic_leads, not 'gold'",
        ),
        (
            PLANS + "again = { product = 'clinic_leads', price_paise = 100,"
            " renews = 'basic_renewal' }",
            "plans.again: renews must name a plan of clinic_leads, not 'basic_renewal'",
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
            "entitlements: monthly_grant must be active, due_soon, past_due: the back office gives",
        ),
        (
            "[entitlements]\nspend_credits = ['active', 'due_soon', 'past_due', 'degraded']",
            "entitlements: spend_credits must be none, active, due_soon, past_due, degraded: the",
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
def test_bad_plans_entitlements_and_banners_are_refused_by_key(
    tmp_path: Path, section: str, error: str
) -> None:
    assert refusal(tmp_path, f"{TIERS}{PRODUCTS}{section}\n").startswith(error)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[lead_pricing]\ntiers = [{from_paise = 0, credits = 0}]\n")

    assert len(message.split("\n")) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(
            CatalogError, match=r"cannot be read: .*: set BILLING_CATALOG"
        ) as caught:
            catalog.load(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_returned_credit_lives_for_ten_years_at_most(tmp_path: Path) -> None:
    lots = TIERS + PRODUCTS + "[lots]\nrefund_of_expired_days = "
    assert "lots.refund_of_expired_days" in refusal(tmp_path, lots + "3651")
    file = tmp_path / "catalog.toml"
    file.write_text(lots + "3650")
    assert catalog.load(file).lots.refund_of_expired_days == 3650


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://platform.example/billing?from=mail", None),
        ("http://127.0.0.1:8080/billing", None),
        ("platform.example/billing", "must be an address such as https://"),
        ("javascript:alert(1)", "must be an address such as https://"),
        ("https://me:secret@platform.example/", "must be an address such as https://"),
        ("https://platform.example:no/", "must be an address such as https://"),
        ("https://platform.example/my billing", "must hold no blank"),
    ],
)
def test_a_product_may_name_the_page_on_which_its_customers_pay(
    tmp_path: Path, url: str, error: str | None
) -> None:
    product = f'clinic_leads = {{ name = "Clinics", billing_url = "{url}" }}'
    content = f"{TIERS}[products]\n{product}\n"

    if error is not None:
        assert error in refusal(tmp_path, content)
        return
    file = tmp_path / "catalog.toml"
    file.write_text(content)
    assert catalog.load(file).products["clinic_leads"].billing_url == url
