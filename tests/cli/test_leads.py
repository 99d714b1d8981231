"""`billing leads show`."""

import pytest

from billing.leads import LeadRequest, charge_leads
from db.session import transaction
from tests.cli.runner import give, open_clinic, run

pytestmark = pytest.mark.usefixtures("database")


def test_a_lead_is_shown_with_its_account_and_state() -> None:
    open_clinic()
    give("1000")
    with transaction() as session:
        request = LeadRequest(lead_id="L-1", account="clinic:42", package_price_paise=600_000)
        charge_leads(session, [request], actor="test")

    shown = run("leads", "show", "L-1", "--json").json

    assert (shown["lead_id"], shown["account"]) == ("L-1", "clinic:42")
    assert (shown["state"], shown["credits"], shown["conflicts"]) == ("charged", 180, 0)
    assert "clinic:42" in run("leads", "show", "L-1").out


@pytest.mark.parametrize("lead_id", ["L-unknown", "", "x" * 1_000, "a\nb"])
def test_a_lead_that_is_not_there_is_one_line(lead_id: str) -> None:
    assert "there is no lead" in run("leads", "show", lead_id).error
