"""Connections are not requests, and one tenant's crowd or a slow gateway delays nobody else."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from devstack.simulator.switches import Switches
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.api.given import Shop, wish
from tests.api.given_spending import make_key
from tests.billing.given import open_account
from tests.raw_http import announcing, head, held_open

pytestmark = pytest.mark.usefixtures("house")

LATE_SECONDS = 5
"""Before, nobody else was answered for as long as these connections lasted: 30 to 70 seconds."""


@pytest.mark.parametrize("half_bodies", [24, 130])
def test_idle_connections_and_half_bodies_do_not_make_the_api_deaf(
    api: ApiProcess, number: int, half_bodies: int
) -> None:
    # Given 128 clients that keep a connection for later, and more that never finish a request
    account = open_account(f"clinic:{number}")
    half = head(
        "POST",
        "/v1/charges",
        [
            ("authorization", f"Bearer {HOUSE_KEY}"),
            ("content-type", "application/json"),
            ("idempotency-key", f"half-{number}"),
            announcing(100),
        ],
    )
    with ExitStack() as stack:
        idle = stack.enter_context(held_open(api, head("GET", "/healthz", []), count=128))
        assert [api.answer_on(client).status for client in idle] == [200] * 128
        stack.enter_context(held_open(api, half + b'{"account', count=half_bodies))

        # When others ask, each on a new connection
        started = time.monotonic()
        answers = [api.ask(f"/v1/accounts/{account}", HOUSE_KEY) for _ in range(20)]

        # Then each is answered while all of those are still open
        assert [answer.status for answer in answers] == [200] * 20
        assert time.monotonic() - started < LATE_SECONDS


def test_a_body_that_does_not_come_is_given_up_with_a_408(api: ApiProcess) -> None:
    """Slow, for it waits for the deadline of a body: 10 seconds."""
    sent = head("POST", "/v1/charges", [announcing(100)])
    with held_open(api, sent + b"half", count=1) as [client]:
        answer = api.answer_on(client)

    assert answer.status == 408
    assert problem(answer)["detail"] == "the body did not come within 10 seconds"
    assert answer.headers["connection"] == "close"


def test_orders_at_a_slow_gateway_do_not_delay_another_tenant_nor_their_own_other_requests(
    shop: Shop, number: int
) -> None:
    """Slow, for the gateway is: 6 seconds for each of the first orders."""
    # Given 18 orders of one tenant at a gateway that takes its time
    account = open_account(f"clinic:slow-{number}")
    other_key = make_key(f"tenant-{number}", product="clinic_leads")
    shop.sim.world.switches = Switches(slow_answer=1, slow_answer_seconds=6)
    with ThreadPoolExecutor(18) as pool:
        orders = [pool.submit(shop.post, "/v1/orders", wish(account)) for _ in range(18)]
        time.sleep(0.5)

        # When another tenant asks, and the tenant itself asks for something else
        started = time.monotonic()
        answers = [
            shop.api.ask(f"/v1/accounts/{account}", key)
            for key in (other_key, shop.house_key)
            for _ in range(10)
        ]

        # Then all are answered before the gateway has answered once
        assert [answer.status for answer in answers] == [200] * 20
        assert time.monotonic() - started < LATE_SECONDS
        assert not any(order.done() for order in orders)
        shop.sim.world.switches = Switches()
        assert [order.result().status for order in orders] == [201] * 18
