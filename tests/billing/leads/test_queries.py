"""A page of an account's leads costs the same wherever it begins, and however many there are."""

import pytest
from sqlalchemy import text

from billing import accounts, leads
from db.session import transaction
from tests.billing.explained import plans_of
from tests.billing.given import open_account
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def many_leads(database: str) -> None:
    """20,000 leads of two accounts, by turns; a few of them cancelled."""
    open_account("clinic:42")
    open_account("clinic:43")
    with owner() as connection:
        connection.execute(
            text(
                "INSERT INTO lead_charges (lead_id, account_id, package_price_paise, credits,"
                " state, transaction_id, occurred_at, created_at, updated_at)"
                " SELECT 'L-' || n, a.id, 600000, 180,"
                " CASE WHEN n % 1000 < 2 THEN 'cancelled' ELSE 'charged' END,"
                " CASE WHEN n % 1000 < 2 THEN NULL ELSE n END, now(),"
                " '2026-01-01Z'::timestamptz + n * interval '1 minute', now()"
                " FROM generate_series(1, 20000) AS n"
                " JOIN accounts a ON a.ref = 'clinic:' || 42 + n % 2"
            )
        )
        connection.exec_driver_sql("ANALYZE lead_charges")


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "ix_lead_charges_account"),
        ({"after": "L-10000"}, "ix_lead_charges_account"),
        ({"state": "charged"}, "ix_lead_charges_account"),
        ({"state": "cancelled"}, "ix_lead_charges_uncommon"),
    ],
    ids=str,
)
def test_a_page_is_read_from_its_index(wanted: dict[str, str], index: str) -> None:
    with transaction() as session:
        account = accounts.find(session, "clinic:42")
        assert account is not None
        with plans_of(session, "lead_charges") as plans:
            found = leads.leads_of_account(
                session, account, product="clinic_leads", account_id=None, limit=21,
                **wanted,  # type: ignore[arg-type]
            )  # fmt: skip

    assert found
    assert f"using {index}" in plans[-1]
    assert "Sort" not in plans[-1]
