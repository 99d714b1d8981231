"""`POST /v1/payments/verify`: what became of a payment, whoever finds out, credited once."""

import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from billing import accounts
from billing.access import keys as api_keys
from billing.payments import attachment as attaching
from db.roles import Role
from db.session import transaction
from devstack.simulator.razorpay import events as razorpay_events
from devstack.simulator.world import unix_now
from tests.api.api_process import ApiProcess, problem
from tests.api.given import Shop, environment, wish
from tests.billing.given import balance, open_account, rows
from tests.gateways.conftest import KEY_SECRET
from tests.server_process import Answer
from tests.tasks.given import deliver, work

pytestmark = pytest.mark.usefixtures("house")


@pytest.fixture
def clinic(number: int) -> str:
    return open_account(f"clinic:{number}")


def signed(order_id: str, payment_id: str) -> dict[str, str]:
    """What a browser brings that has Razorpay's word for this order and payment."""
    message = f"{order_id}|{payment_id}".encode()
    signature = hmac.digest(KEY_SECRET.encode(), message, hashlib.sha256).hex()
    return {"order_id": order_id, "payment_id": payment_id, "signature": signature}


def webhook(shop: Shop, payment_id: str, event: str = "payment.captured") -> None:
    """Let a webhook of Razorpay's come and be worked on, in this process."""
    payment = shop.sim.world.razorpay.payments[payment_id]
    deliver(razorpay_events.write(event, {"payment": payment}, unix_now()), source="razorpay")
    work("razorpay")


def refused_field(answer: Answer) -> str:
    assert answer.status == 422, answer.body
    return str(problem(answer)["errors"][0]["field"])


def credits_of(payment_id: str) -> list[tuple[object, ...]]:
    return list(
        rows(
            "SELECT idempotency_key, amount FROM credit_transactions WHERE payment_id = :id"
            " ORDER BY id",
            id=payment_id,
        )
    )


def test_a_captured_payment_is_credited_and_told_in_full(shop: Shop, clinic: str) -> None:
    order_id = shop.buy(clinic)["order_id"]
    brought = shop.pay(order_id)

    answer = shop.verify(brought)

    assert answer.status == 200
    assert answer.json == {
        "order_id": order_id, "payment_id": brought["payment_id"], "account": clinic,
        "state": "captured", "credits_added": 5_500,
    }  # fmt: skip
    assert balance(clinic) == 5_500
    line = f"Payment verified: {brought['payment_id']}, Credits 5500"
    assert shop.api.log.count(line) == 1
    assert rows(
        "SELECT DISTINCT actor FROM credit_transactions WHERE payment_id = :id",
        id=brought["payment_id"],
    ) == [("api-key:house",)]


def test_a_repeat_and_a_later_call_tell_the_same_and_credit_nothing(
    shop: Shop, clinic: str, number: int
) -> None:
    brought = shop.pay(shop.buy(clinic)["order_id"])
    first = shop.verify(brought, once=f"v-{number}")

    assert shop.verify(brought, once=f"v-{number}").body == first.body
    assert shop.verify(brought).body == first.body
    assert balance(clinic) == 5_500


def test_credits_added_are_right_where_the_webhook_came_first(shop: Shop, clinic: str) -> None:
    brought = shop.pay(shop.buy(clinic)["order_id"])
    webhook(shop, brought["payment_id"])

    answer = shop.verify(brought)

    assert (answer.json["state"], answer.json["credits_added"]) == ("captured", 5_500)
    assert balance(clinic) == 5_500


def test_the_webhook_that_comes_second_credits_nothing(shop: Shop, clinic: str) -> None:
    brought = shop.pay(shop.buy(clinic)["order_id"])
    shop.verify(brought)

    webhook(shop, brought["payment_id"])

    assert len(credits_of(brought["payment_id"])) == 2
    assert balance(clinic) == 5_500


def test_many_calls_and_webhooks_at_once_credit_once(shop: Shop, clinic: str) -> None:
    brought = shop.pay(shop.buy(clinic)["order_id"])
    together = Barrier(6)

    def ask(_: int) -> Answer:
        together.wait()
        return shop.verify(brought)

    with ThreadPoolExecutor(6) as pool:
        asked = pool.map(ask, range(5))
        together.wait()
        webhook(shop, brought["payment_id"])
        answers = list(asked)

    assert {(a.status, a.json["state"], a.json["credits_added"]) for a in answers} == {
        (200, "captured", 5_500)
    }
    assert len(credits_of(brought["payment_id"])) == 2
    assert balance(clinic) == 5_500


def test_an_answer_that_is_not_final_is_not_kept(shop: Shop, clinic: str, number: int) -> None:
    # Given a payment that Razorpay leaves authorized
    order_id = shop.buy(clinic)["order_id"]
    brought = shop.pay(order_id, "authorized")
    pending = shop.verify(brought, once=f"later-{number}")
    assert (pending.status, pending.json["state"]) == (200, "authorized")
    assert pending.json["credits_added"] == 0
    # When it captures after all
    payment = {"amount": 500_000, "currency": "INR"}
    shop.sim.post(
        f"/v1/payments/{brought['payment_id']}/capture", payment, ("rzp_test_tests", KEY_SECRET)
    )
    # Then the same question has another answer
    answer = shop.verify(brought, once=f"later-{number}")
    assert (answer.json["state"], answer.json["credits_added"]) == ("captured", 5_500)


def test_a_payment_that_failed_is_told_and_the_order_stays_open(shop: Shop, clinic: str) -> None:
    order_id = shop.buy(clinic)["order_id"]
    failed = shop.sim.pay(order_id, "failure")["razorpay_payment_id"]

    answer = shop.verify(signed(order_id, failed))

    assert (answer.status, answer.json["state"]) == (200, "failed")
    assert rows("SELECT state FROM billing_orders WHERE gateway_order_id = :o", o=order_id) == [
        ("open",)
    ]
    assert shop.verify(shop.pay(order_id)).json["state"] == "captured"


def test_money_that_is_not_what_was_ordered_is_quarantined(shop: Shop, clinic: str) -> None:
    order_id = shop.buy(clinic)["order_id"]
    shop.sim.set(short_payment=1)

    answer = shop.verify(shop.pay(order_id))

    assert (answer.json["state"], answer.json["credits_added"]) == ("quarantined", 0)
    assert balance(clinic) == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"signature": "0" * 64}, "signature"),
        ({"signature": ""}, "signature"),
        ({"signature": None}, "signature"),
        ({"signature": "स" * 64}, "signature"),
        ({"signature": "\ud800"}, "body"),
        ({"signature": "x" * 501}, "signature"),
        ({"signature": 5}, "signature"),
        ({"payment_id": None}, "payment_id"),
        ({"payment_id": ""}, "payment_id"),
        ({"payment_id": "pay_00000000000000"}, "signature"),
        ({"payment_id": "a\x00b"}, "payment_id"),
        ({"payment_id": "x" * 300}, "payment_id"),
        ({"order_id": None}, "order_id"),
        ({"order_id": ""}, "order_id"),
        ({"razorpay_order_id": "order_1"}, "razorpay_order_id"),
    ],
    ids=str,
)
def test_a_bad_field_is_named_and_nothing_is_recorded(
    shop: Shop, clinic: str, changes: dict[str, Any], field: str
) -> None:
    brought: dict[str, Any] = shop.pay(shop.buy(clinic)["order_id"])

    answer = shop.verify(brought | changes)

    if field == "body":
        assert answer.status in {400, 422}
    else:
        assert refused_field(answer) == field
    assert rows(
        "SELECT 1 FROM billing_payments WHERE gateway_payment_id = :id", id=brought["payment_id"]
    ) == []  # fmt: skip
    assert shop.verify(brought).json["state"] == "captured"


def test_a_signature_for_another_order_is_none_for_this(shop: Shop, clinic: str) -> None:
    mine, other = shop.buy(clinic)["order_id"], shop.buy(clinic)["order_id"]
    brought = shop.pay(other)

    assert refused_field(shop.verify(brought | {"order_id": mine})) == "signature"
    # And one that a thief of the key made himself helps no more
    assert refused_field(shop.verify(signed(mine, brought["payment_id"]))) == "payment_id"
    assert balance(clinic) == 0


def test_an_order_that_nobody_knows_and_one_out_of_reach_are_told_alike(
    shop: Shop, clinic: str, number: int
) -> None:
    with transaction(Role.OWNER) as session:
        pharmacy = f"pharmacy:{number}"
        accounts.create(session, ref=pharmacy, name="P", product="pharmapulse_one")
        product_key = api_keys.create(session, name=f"v-p-{number}", product="pharmapulse_one")
        account_key = api_keys.create(session, name=f"v-a-{number}", account=pharmacy)
    brought = shop.pay(shop.buy(clinic)["order_id"])

    unknown = shop.verify(brought | {"order_id": "order_of_nobody"})

    assert unknown.status == 404
    for key in (product_key, account_key):
        hidden = shop.verify(brought, key=key)
        assert (hidden.status, hidden.but_for_its_id) == (404, unknown.but_for_its_id)
    assert balance(clinic) == 0


def test_a_key_without_the_right_to_order_verifies_nothing(
    shop: Shop, clinic: str, number: int
) -> None:
    with transaction(Role.OWNER) as session:
        key = api_keys.create(
            session, name=f"v-r-{number}", account=clinic, scopes=["payments:read"]
        )
    assert shop.verify({"order_id": "order_1"}, key=key).status == 403


def test_an_order_at_stripe_is_verified_by_its_id_alone(
    shop: Shop, clinic: str, number: int
) -> None:
    order_id = shop.buy(clinic, "stripe")["order_id"]
    once = f"stripe-{number}"
    nothing = shop.verify({"order_id": order_id}, once=once)
    assert nothing.json == {
        "order_id": order_id, "payment_id": None, "account": clinic, "state": "created",
        "credits_added": 0,
    }  # fmt: skip

    shop.sim.pay(order_id)
    paid = shop.verify({"order_id": order_id}, once=once)

    assert (paid.json["state"], paid.json["credits_added"]) == ("captured", 5_500)
    assert paid.json["payment_id"] == shop.at_stripe(clinic)[0]["payment_intent"]
    assert shop.verify({"order_id": order_id}).body == paid.body
    # And whatever else a browser says of it is not asked for
    more = {"payment_id": "pi_of_somebody", "signature": "x"}
    assert shop.verify({"order_id": order_id, **more}).body == paid.body
    assert balance(clinic) == 5_500


def test_a_payment_at_stripe_that_failed_or_takes_its_time_is_told(shop: Shop, clinic: str) -> None:
    order_id = shop.buy(clinic, "stripe")["order_id"]
    shop.sim.pay(order_id, "failure")
    assert shop.verify({"order_id": order_id}).json["state"] == "failed"

    shop.sim.set(speed=0.001)
    shop.sim.pay(order_id, "late_authorization")

    assert shop.verify({"order_id": order_id}).json["state"] in {"created", "failed"}
    assert balance(clinic) == 0


@pytest.mark.parametrize("fault", ["rate_limited", "bad_gateway", "html_answer"])
def test_a_gateway_that_is_away_leaves_what_our_books_say(
    shop: Shop, clinic: str, number: int, fault: str
) -> None:
    once = f"away-{number}"
    brought = shop.pay(shop.buy(clinic)["order_id"])
    shop.sim.set(**{fault: 1})
    # Nothing but the browser's signed word
    first = shop.verify(brought, once=once)
    assert (first.status, first.json["state"]) == (200, "created")
    assert balance(clinic) == 0
    # The webhook has come
    webhook(shop, brought["payment_id"])
    answer = shop.verify(brought, once=once)
    assert (answer.json["state"], answer.json["credits_added"]) == ("captured", 5_500)
    # At Stripe the order alone is known
    at_stripe = shop.sim.world.switches
    shop.sim.set(**{fault: 0})
    stripe_order = shop.buy(clinic, "stripe")["order_id"]
    shop.sim.world.switches = at_stripe
    assert shop.verify({"order_id": stripe_order}).json["state"] == "created"


def test_a_payment_on_a_paid_order_is_quarantined_and_the_first_stays(
    shop: Shop, clinic: str
) -> None:
    shop.sim.set(second_payment="capture")
    order_id = shop.buy(clinic)["order_id"]
    first, second = shop.pay(order_id), shop.pay(order_id)

    assert shop.verify(second).json["credits_added"] == 5_500
    late = shop.verify(first)

    assert (late.json["state"], late.json["credits_added"]) == ("quarantined", 0)
    assert balance(clinic) == 5_500


def test_quarantined_money_that_was_given_to_the_account_since_is_told(
    shop: Shop, clinic: str, number: int
) -> None:
    once = f"attached-{number}"
    order_id = shop.buy(clinic)["order_id"]
    shop.sim.set(short_payment=1)
    brought = shop.pay(order_id)
    assert shop.verify(brought, once=once).json["state"] == "quarantined"

    with transaction() as session:
        attaching.attach(
            session, brought["payment_id"], account=clinic, reason="paid half", actor="ops"
        )

    answer = shop.verify(brought, once=once)
    assert (answer.json["state"], answer.json["credits_added"]) == ("captured", 2_500)


def test_an_order_of_a_gateway_that_is_no_longer_set_up_is_told(
    shop: Shop, clinic: str, database_url: str, log_file: Path
) -> None:
    brought = shop.pay(shop.buy(clinic)["order_id"])
    unset: dict[str, str | None] = dict.fromkeys(("RAZORPAY_KEY_ID", "RAZORPAY_KEY_SECRET"))
    chosen = environment(database_url, shop.house_key, shop.sim)
    with ApiProcess(log_file, **(chosen | unset | {"API_PROCESSES": "1"})) as api:
        answer = api.post("/v1/payments/verify", shop.house_key, brought)
        order = api.post("/v1/orders", shop.house_key, wish(clinic))

    assert refused_field(answer) == refused_field(order) == "gateway"
