"""A plan bought and renewed at each gateway: ordered, paid, with webhooks more than once."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from billing import accounts, audit, plans, verification
from billing.payments import GatewayName, OrderRequest
from billing.plans.calendar import years_after
from billing.plans.overview import get_overview
from db.session import snapshot
from devstack.simulator.server import Running
from devstack.simulator.switches import Switches
from tasks.payments import checkout
from tests.billing.plans import given as planning
from tests.billing.plans.given import PLAN, RENEWAL
from tests.scenarios.payment_scenario import SPEED, forget_orders, wait_for_webhooks, work

Control = Callable[[str, Mapping[str, object]], dict[str, Any]]


@pytest.mark.parametrize(("seed", "gateway"), [(1_000_001, "razorpay"), (1_000_002, "stripe")])
def test_a_plan_paid_at_a_gateway_begins_once_and_each_renewal_adds_a_year(
    simulator: Running, control: Control, seed: int, gateway: GatewayName
) -> None:
    simulator.world.reset(seed)
    simulator.world.switches = Switches().changed(
        {"speed": SPEED, "duplicates": 1, "shuffle": 1, "old_secret": 0.5}
    )
    ref = planning.open_pharmacy(f"pharmacy:{gateway}")

    for number, name in enumerate((PLAN, RENEWAL, RENEWAL)):
        wish = OrderRequest(ref, gateway, plan=name, return_url="https://pharmacy.example/plan")
        with audit.asked_by("system:scenario", door="api"):
            placed = checkout.place_order(
                wish, actor="system:scenario", operation_key=f"plan:{gateway}:{number}"
            )
        order_id = "order_id" if gateway == "razorpay" else "session_id"
        control("pay", {order_id: placed.order_id, "outcome": "success"})
        wait_for_webhooks(simulator)
        work()

    with snapshot() as session:
        account = accounts.find(session, ref)
        assert account is not None
        found = get_overview(session, account)
        years = [(y.kind, y.starts_on, y.ends_on) for y in plans.list_terms(session, account.id)]
        assert verification.verify(session).breaches == []
    forget_orders()
    begun = years[0][1]
    days = [years_after(begun, number) for number in range(4)]
    assert years == [
        ("purchase", days[0], days[1]),
        ("renewal", days[1], days[2]),
        ("renewal", days[2], days[3]),
    ]
    assert found.renewal is not None
    assert found.renewal.due_on == days[3]
    assert found.balance == planning.MONTHLY  # this month's, once
