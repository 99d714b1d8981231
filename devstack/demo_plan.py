"""The demo's plan: a PharmaPulse account that has bought one, and spends a credit of it.

Used by `run.py` to show that plans work, and by `smoke.py` to prove it. Where the simulator plays
the gateway, the plan is ordered over the API and paid there; with real keys it is activated by
hand, as for a bank transfer: no money moves for a demo.
"""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

from billing import accounts, audit, plans
from billing.plans import manual_years
from billing.plans import overview as plan_overview
from billing.plans.manual_years import ManualYear
from billing.plans.overview import Overview
from db.session import transaction
from devstack import demo, demo_payment, ports
from devstack.errors import DevstackError

PHARMACY = "pharmacy:demo-1"
NAME = "Demo Pharmacy, Jayanagar"
PRODUCT = PLAN = "pharmapulse_one"
MONTHLY_CREDITS = 50_000
"""What a month brings by catalog.toml."""
OUTCOME_SECONDS = 30


@dataclass(frozen=True)
class Buying:
    """Where the plan is bought."""

    api_port: int
    simulator_port: int


def have_one(ports: Buying | None) -> Overview:
    """Return the demo account's plan; buy one if there is none.

    Without `ports` it is entered by hand.

    Raises `DevstackError` if nothing came of it in time.
    """
    found = overview()
    if found.plan is not None:
        return found
    if ports is None:
        wish = ManualYear(PHARMACY, "demo account", "devstack", "demo-plan")
        with audit.asked_by("devstack:demo", door="cli"), transaction() as session:
            manual_years.activate(session, wish, plan=PLAN)
        return overview()
    wanted = {"account": PHARMACY, "gateway": "razorpay", "plan": PLAN}
    key = demo_payment.new_key()
    order = demo_payment.open_order(api_port=ports.api_port, idempotency_key=key, wanted=wanted)
    demo_payment.pay(order, simulator_port=ports.simulator_port)
    deadline = time.monotonic() + OUTCOME_SECONDS
    while (found := overview()).plan is None:
        if time.monotonic() > deadline:
            raise DevstackError(
                f"the plan of order {order.order_id} was paid, but is not active after"
                f" {OUTCOME_SECONDS} s: its webhook did not come, or no worker handled it"
            )
        time.sleep(0.1)
    return found


def overview() -> Overview:
    """Return the demo account, which is opened if it does not exist, and its plan."""
    with audit.asked_by("devstack:demo", door="cli"), transaction() as session:
        account = accounts.find(session, PHARMACY)
        if account is None:
            account = accounts.create(session, ref=PHARMACY, name=NAME, product=PRODUCT)
        return plan_overview.get_overview(session, account)


def years_paid() -> int:
    """Return how many years of the plan were paid."""
    with transaction() as session:
        account = accounts.find(session, PHARMACY)
        return len(plans.list_terms(session, account.id)) if account else 0


def spend(amount: int, *, api_port: int, key: str) -> tuple[int, Any]:
    """Spend credits over the API, in one step; return the status and the answer."""
    return demo_payment.call_api(
        api_port, "/v1/charges", {"account": PHARMACY, "amount": amount}, key
    )


def entitlements(*, api_port: int) -> Any:
    """Return what the API says that the account may do."""
    connection = http.client.HTTPConnection(ports.HOST, api_port, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {demo.api_key()}"}
        connection.request("GET", f"/v1/accounts/{PHARMACY}/entitlements", headers=headers)
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DevstackError(f"entitlements: no answer: {type(error).__name__}") from error
    finally:
        connection.close()
