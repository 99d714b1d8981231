"""`POST /v1/orders` when things go wrong on the way: one order at the gateway, whatever happens."""

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text

from billing.payments import GatewayName, orders
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.given import Shop, environment, wish
from tests.billing.given import open_account, rows
from tests.gateways.conftest import STRIPE_KEY, Door, listening
from tests.server_process import Answer

pytestmark = pytest.mark.usefixtures("house")

AT_ONCE = 8
GATEWAYS: tuple[GatewayName, ...] = ("razorpay", "stripe")


@pytest.fixture
def clinic(number: int) -> str:
    return open_account(f"clinic:{number}")


@pytest.fixture
def door() -> Iterator[Door]:
    """A gateway with set answers."""
    with listening() as it:
        yield it


def there(shop: Shop, account: str) -> list[Any]:
    """What either gateway has of an account."""
    return [*shop.at_razorpay(account), *shop.at_stripe(account)]


def order_of(account: str) -> tuple[object, ...]:
    [found] = rows(
        "SELECT o.state, o.gateway_order_id, o.last_error FROM billing_orders o"
        " JOIN accounts a ON a.id = o.account_id WHERE a.ref = :ref",
        ref=account,
    )
    return found


def kind_of(answer: Answer) -> str:
    """The last part of a problem's type."""
    return str(problem(answer)["type"]).rpartition(":")[2]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_one_key_many_times_at_once_is_one_order_and_the_same_answer(
    shop: Shop, clinic: str, number: int, gateway: str
) -> None:
    together = Barrier(AT_ONCE)

    def ask(_: int) -> Answer:
        together.wait()
        return shop.post("/v1/orders", wish(clinic, gateway), once=f"order-{number}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert [one["id"] for one in there(shop, clinic)] == [answers[0].json["order_id"]]


@pytest.mark.parametrize("unique_receipt", [True, False])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_an_order_whose_answer_was_lost_is_found_by_a_repeat(
    shop: Shop, clinic: str, number: int, gateway: str, unique_receipt: bool
) -> None:
    # Given a gateway that opens the order and whose answer never comes
    shop.sim.set(lost_response=1, unique_receipt=unique_receipt)
    lost = shop.post("/v1/orders", wish(clinic, gateway), once=f"lost-{number}")
    assert (lost.status, kind_of(lost)) == (503, "outcome-unknown")
    assert int(lost.headers["retry-after"]) > 0
    assert order_of(clinic)[:2] == ("unknown", None)
    # When it is asked again
    shop.sim.set(lost_response=0)
    found = shop.post("/v1/orders", wish(clinic, gateway), once=f"lost-{number}")
    # Then it is that order, and stays it
    assert found.status == 201, found.body
    [order] = there(shop, clinic)
    assert found.json["order_id"] == order["id"]
    assert found.json["checkout_url"] == (order["url"] if gateway == "stripe" else None)
    assert found.json["state"] == "open"
    again = shop.post("/v1/orders", wish(clinic, gateway), once=f"lost-{number}")
    assert again.body == found.body


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("fault", ["bad_gateway", "html_answer"])
@pytest.mark.parametrize("after_effect", [0, 1])
def test_an_order_that_a_broken_gateway_may_have_opened_is_one(
    shop: Shop, clinic: str, number: int, gateway: str, fault: str, after_effect: int
) -> None:
    shop.sim.set(**{fault: 1, "fault_after_effect": after_effect})
    for _ in range(2):
        answer = shop.post("/v1/orders", wish(clinic, gateway), once=f"broken-{number}")
        assert (answer.status, kind_of(answer)) == (503, "outcome-unknown")

    shop.sim.set(**{fault: 0})
    answer = shop.post("/v1/orders", wish(clinic, gateway), once=f"broken-{number}")

    assert [one["id"] for one in there(shop, clinic)] == [answer.json["order_id"]]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_gateway_that_is_too_busy_is_asked_again_later(
    shop: Shop, clinic: str, number: int, gateway: str
) -> None:
    shop.sim.set(rate_limited=1)
    answer = shop.post("/v1/orders", wish(clinic, gateway), once=f"busy-{number}")
    assert (answer.status, kind_of(answer)) == (503, "gateway-unavailable")
    assert there(shop, clinic) == []

    shop.sim.set(rate_limited=0)

    assert (
        shop.post("/v1/orders", wish(clinic, gateway), once=f"busy-{number}").json["order_id"]
        == there(shop, clinic)[0]["id"]
    )


def test_other_content_under_the_key_of_an_open_outcome_is_a_conflict(
    shop: Shop, clinic: str, number: int
) -> None:
    shop.sim.set(lost_response=1)
    shop.post("/v1/orders", wish(clinic), once=f"other-{number}")
    shop.sim.set(lost_response=0)

    answer = shop.post("/v1/orders", wish(clinic, package="credits_1000"), once=f"other-{number}")

    assert (answer.status, kind_of(answer)) == (409, "idempotency-conflict")
    assert len(there(shop, clinic)) == 1


@pytest.fixture
def starts(
    shop: Shop, database_url: str, log_file: Path
) -> Callable[[dict[str, str | None]], ApiProcess]:
    """Make an API of the shop with something changed in its environment."""

    def start(changes: dict[str, str | None]) -> ApiProcess:
        chosen = environment(database_url, shop.house_key, shop.sim)
        return ApiProcess(log_file, **(chosen | {"API_PROCESSES": "1"} | changes))

    return start


Starts = Callable[[dict[str, str | None]], ApiProcess]


@pytest.mark.parametrize(
    ("gateway", "changes"),
    [
        ("razorpay", {"RAZORPAY_KEY_SECRET": "the-wrong-secret"}),
        ("stripe", {"STRIPE_API_KEY": "sk_test_the_wrong_key"}),
        ("stripe", {"STRIPE_API_KEY": "sk_test_k\u00e9y"}),
        ("razorpay", {"RAZORPAY_API_BASE": "http://127.0.0.1:1"}),
        ("stripe", {"STRIPE_API_BASE": "http://127.0.0.1:1"}),
    ],
)
def test_a_key_that_is_refused_and_a_gateway_out_of_reach_heal(
    shop: Shop, clinic: str, number: int, starts: Starts, gateway: str, changes: dict[str, Any]
) -> None:
    with starts(changes) as api:
        answer = api.post(
            "/v1/orders", shop.house_key, wish(clinic, gateway), once=f"heal-{number}"
        )
        assert (answer.status, kind_of(answer)) == (503, "gateway-unavailable")
        for value in changes.values():
            assert value not in answer.body.decode()
        assert changes.get("RAZORPAY_KEY_SECRET", "-" * 9) not in api.log
        assert changes.get("STRIPE_API_KEY", STRIPE_KEY) not in api.log

    mended = shop.post("/v1/orders", wish(clinic, gateway), once=f"heal-{number}")

    assert mended.status == 201
    assert len(there(shop, clinic)) == 1


@pytest.mark.parametrize(
    ("gateway", "unset"),
    [("razorpay", ("RAZORPAY_KEY_ID", "RAZORPAY_KEY_SECRET")), ("stripe", ("STRIPE_API_KEY",))],
)
def test_a_gateway_that_is_not_set_up_is_a_bad_field(
    shop: Shop, clinic: str, starts: Starts, gateway: str, unset: tuple[str, ...]
) -> None:
    with starts(dict.fromkeys(unset)) as api:
        answer = api.post("/v1/orders", shop.house_key, wish(clinic, gateway))

    assert answer.status == 422
    assert problem(answer)["errors"][0]["field"] == "gateway"
    assert "is not configured on this server" in problem(answer)["detail"]


def test_an_order_that_the_gateway_refuses_is_refused_for_good(
    shop: Shop, clinic: str, number: int, door: Door, starts: Starts
) -> None:
    # Given a gateway with a limit of its own
    too_much = {"error": {"code": "BAD_REQUEST_ERROR", "reason": "input_validation_failed",
                          "field": "amount", "description": "Amount exceeds maximum"}}  # fmt: skip
    door.says(400, too_much)
    once = f"refused-{number}"
    with starts({"RAZORPAY_API_BASE": door.url}) as api:
        # When more is ordered
        answer = api.post("/v1/orders", shop.house_key, wish(clinic), once=once)
        # Then the answer gives the reason, and again
        assert answer.status == 422, answer.body
        [error] = problem(answer)["errors"]
        assert error["field"] == "gateway"
        assert "would not open the order: Amount exceeds maximum" in error["detail"]
        assert order_of(clinic)[0] == "refused"
        asked = len(door.asked)
        again = api.post("/v1/orders", shop.house_key, wish(clinic), once=once)
        assert (again.status, len(door.asked)) == (422, asked)
        assert "Amount exceeds maximum" in problem(again)["detail"]
        # And the key stands for that order
        other = api.post(
            "/v1/orders", shop.house_key, wish(clinic, package="credits_1000"), once=once
        )
        assert (other.status, kind_of(other)) == (409, "idempotency-conflict")
        assert "request failed" not in api.log


def test_a_gateway_that_has_another_amount_under_our_receipt_is_not_believed(
    shop: Shop, clinic: str, number: int, door: Door, starts: Starts
) -> None:
    once = f"odd-{number}"
    receipt = orders.receipt_of(f"api:house:{once}")
    odd = {"id": "order_odd", "entity": "order", "amount": 100, "currency": "INR",
           "receipt": receipt, "status": "created"}  # fmt: skip
    with starts({"RAZORPAY_API_BASE": door.url}) as api:
        door.says(502, "")
        assert api.post("/v1/orders", shop.house_key, wish(clinic), once=once).status == 503
        door.says(200, {"entity": "collection", "count": 1, "items": [odd]})

        answer = api.post("/v1/orders", shop.house_key, wish(clinic), once=once)

    assert answer.status == 422
    assert problem(answer)["errors"][0]["field"] == "gateway"
    assert order_of(clinic)[1] is None


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_an_api_killed_between_the_gateways_answer_and_its_own_opens_no_second_order(
    shop: Shop, clinic: str, number: int, starts: Starts, gateway: str
) -> None:
    once = f"killed-{number}"
    # Given an API that is killed while the gateway's answer is on its way
    shop.sim.set(slow_answer=1, slow_answer_seconds=5)
    with starts({}) as api, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            api.post, "/v1/orders", shop.house_key, wish(clinic, gateway), once=once
        )
        deadline = time.monotonic() + 10
        while not there(shop, clinic):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(api.process.pid, signal.SIGKILL)
        assert isinstance(asked.exception(20), OSError | http.client.HTTPException)
    assert order_of(clinic)[:2] == ("requested", None)
    # When its claim has run out
    with transaction() as session:
        session.execute(
            text(
                "UPDATE api_requests SET claimed_until = claimed_until - interval '2 minutes'"
                " WHERE idempotency_key = :once AND status IS NULL"
            ),
            {"once": once},
        )
    # Then a repeat at a new process finds the order
    shop.sim.set(slow_answer=0)
    with starts({}) as api:
        answer = api.post("/v1/orders", shop.house_key, wish(clinic, gateway), once=once)
    assert answer.status == 201, answer.body
    assert [one["id"] for one in there(shop, clinic)] == [answer.json["order_id"]]
    assert order_of(clinic)[0] == "open"
