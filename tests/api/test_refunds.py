"""`POST /v1/refunds` over HTTP: money back once, whatever the gateway and the caller do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import structlog

import clock
import settings
from billing import accounts
from billing.access import keys as api_keys
from billing.payments import GatewayName
from db.roles import Role
from db.session import transaction
from tasks.returns import inquiry
from tests.api.api_process import problem
from tests.api.given import Shop, environment
from tests.billing.given import balance, open_account, post_all, rows, take
from tests.server_process import Answer
from tests.tasks.returns.given import open_dispute, refunds_at

pytestmark = pytest.mark.usefixtures("house")

AT_ONCE = 6
GATEWAYS: tuple[GatewayName, ...] = ("razorpay", "stripe")


@pytest.fixture
def clinic(number: int) -> str:
    return open_account(f"clinic:{number}")


def paid(shop: Shop, account: str, gateway: str = "razorpay") -> str:
    """Buy the package of Rs 5,000, 5,000 credits and 500; the gateway's id of the payment."""
    order_id = shop.buy(account, gateway)["order_id"]
    if gateway == "razorpay":
        brought = shop.pay(order_id)
        assert shop.verify(brought).json["credits_added"] == 5_500
        return brought["payment_id"]
    payment_id = str(shop.sim.pay(order_id)["payment_intent"])
    assert shop.verify({"order_id": order_id}).json["credits_added"] == 5_500
    return payment_id


def refund(
    shop: Shop, payment_id: str, *, once: str | None = None, key: str | None = None, **more: Any
) -> Answer:
    body = {"payment_id": payment_id, "reason": "changed their mind", **more}
    return shop.post("/v1/refunds", body, once=once, key=key)


def kind_of(answer: Answer) -> str:
    """The last part of a problem's type."""
    return str(problem(answer)["type"]).rpartition(":")[2]


def held(account: str) -> object:
    return rows("SELECT held FROM accounts WHERE ref = :ref", ref=account)[0][0]


@pytest.fixture
def beat(shop: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let minutes pass and a worker ask the shop's gateways about refunds."""
    for name, value in environment(database_url, shop.house_key, shop.sim).items():
        monkeypatch.setenv(name, str(value))
    settings.get.cache_clear()

    def tick(minutes: int = 3) -> None:
        with clock.frozen(clock.now() + timedelta(minutes=minutes)):
            for name in GATEWAYS:
                inquiry.ask_gateway(name, stop_at=float("inf"))

    yield tick
    settings.get.cache_clear()
    structlog.reset_defaults()


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_whole_refund_takes_the_credit_and_the_bonus(
    shop: Shop, clinic: str, gateway: str
) -> None:
    payment_id = paid(shop, clinic, gateway)

    answer = refund(shop, payment_id)

    assert answer.status == 201, answer.body
    [(id_, actor)] = rows(
        "SELECT r.id, r.requested_by FROM billing_refunds r JOIN billing_payments p"
        " ON p.id = r.payment_id WHERE p.gateway_payment_id = :id", id=payment_id,
    )  # fmt: skip
    assert answer.json == {
        "refund_id": str(id_), "payment_id": payment_id, "state": "processed",
        "amount_paise": 500_000, "credits_taken": 5_500, "debt": 0, "account": clinic,
        "reason": "changed their mind", "created_at": answer.json["created_at"],
    }  # fmt: skip
    assert actor == "api-key:house"
    assert [one["amount"] for one in refunds_at(shop.sim, payment_id)] == [500_000]
    assert (balance(clinic), held(clinic)) == (0, 0)


def test_parts_add_up_and_what_is_left_comes_without_an_amount(shop: Shop, clinic: str) -> None:
    payment_id = paid(shop, clinic)

    shown = [refund(shop, payment_id, amount_paise=amount).json for amount in (250_000, 99_999)]
    shown.append(refund(shop, payment_id).json)

    assert [one["amount_paise"] for one in shown] == [250_000, 99_999, 150_001]
    assert sum(one["credits_taken"] for one in shown) == 5_500
    assert shown[0]["credits_taken"] == 2_750
    assert len({one["refund_id"] for one in shown}) == 3
    assert sum(one["amount"] for one in refunds_at(shop.sim, payment_id)) == 500_000
    assert balance(clinic) == 0


def test_credit_that_was_spent_is_owed(shop: Shop, clinic: str) -> None:
    payment_id = paid(shop, clinic)
    post_all(take(5_200, key=f"spent:{clinic}", account=clinic))

    shown = refund(shop, payment_id, amount_paise=250_000).json

    assert (shown["credits_taken"], shown["debt"]) == (2_750, 2_450)
    assert balance(clinic) == -2_450


def test_more_than_is_left_is_a_409_and_nothing_is_asked_of_the_gateway(
    shop: Shop, clinic: str
) -> None:
    payment_id = paid(shop, clinic)
    for amount in (500_001, 10**30):
        answer = refund(shop, payment_id, amount_paise=amount)
        assert (answer.status, kind_of(answer)) == (409, "not-refundable")
        assert "500000 paise left" in problem(answer)["detail"]
    refund(shop, payment_id, amount_paise=499_900)
    assert refund(shop, payment_id, amount_paise=101).status == 409
    assert refund(shop, payment_id).json["amount_paise"] == 100

    answer = refund(shop, payment_id)

    assert (answer.status, kind_of(answer)) == (409, "not-refundable")
    assert len(refunds_at(shop.sim, payment_id)) == 2


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"amount_paise": 0}, "amount_paise"),
        ({"amount_paise": -1}, "amount_paise"),
        ({"amount_paise": "100"}, "amount_paise"),
        ({"amount_paise": 100.0}, "amount_paise"),
        ({"amount_paise": True}, "amount_paise"),
        ({"reason": None}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "a\x00b"}, "reason"),
        ({"reason": "x" * 1_001}, "reason"),
        ({"payment_id": None}, "payment_id"),
        ({"payment_id": "a\x00b"}, "payment_id"),
        ({"gateway": "razorpay"}, "gateway"),
    ],
    ids=str,
)
def test_a_bad_field_is_named_and_nothing_is_refunded(
    shop: Shop, clinic: str, more: dict[str, Any], field: str
) -> None:
    payment_id = paid(shop, clinic)

    answer = shop.post("/v1/refunds", {"payment_id": payment_id, "reason": "x", **more})

    assert answer.status == 422, answer.body
    assert problem(answer)["errors"][0]["field"] == field
    assert refunds_at(shop.sim, payment_id) == []


def test_a_payment_out_of_reach_is_one_that_is_not_there(
    shop: Shop, clinic: str, number: int
) -> None:
    payment_id = paid(shop, clinic)
    neighbour, pharmacy = open_account(f"clinic:b-{number}"), f"pharmacy:{number}"
    with transaction(Role.OWNER) as session:
        accounts.create(session, ref=pharmacy, name="A pharmacy", product="pharmapulse_one")
        strangers = [
            api_keys.create(session, name=f"refund-n-{number}", account=neighbour),
            api_keys.create(session, name=f"refund-p-{number}", product="pharmapulse_one"),
        ]
        own = api_keys.create(session, name=f"refund-o-{number}", account=clinic)

    unknown = refund(shop, "pay_of_nobody")

    assert (unknown.status, kind_of(unknown)) == (404, "unknown-payment")
    for key in strangers:
        hidden = refund(shop, payment_id, key=key)
        assert (hidden.status, hidden.but_for_its_id) == (404, unknown.but_for_its_id)
    assert refunds_at(shop.sim, payment_id) == []
    assert refund(shop, payment_id, key=own).status == 201


def test_a_key_without_the_right_to_refund_refunds_nothing(
    shop: Shop, clinic: str, number: int
) -> None:
    payment_id = paid(shop, clinic)
    with transaction(Role.OWNER) as session:
        key = api_keys.create(
            session, name=f"orders-{number}", account=clinic, scopes=["orders:write"]
        )

    answer = refund(shop, payment_id, key=key)

    assert answer.status == 403
    assert "refunds:write" in problem(answer)["detail"]
    assert refunds_at(shop.sim, payment_id) == []


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_one_key_many_times_at_once_is_one_refund_and_the_same_answer(
    shop: Shop, clinic: str, number: int, gateway: str
) -> None:
    payment_id = paid(shop, clinic, gateway)
    together = Barrier(AT_ONCE)

    def ask(_: int) -> Answer:
        together.wait()
        return refund(shop, payment_id, amount_paise=100_000, once=f"refund-{number}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert len(refunds_at(shop.sim, payment_id)) == 1
    assert balance(clinic) == 4_400


def test_other_content_under_the_key_of_a_refund_is_a_conflict(
    shop: Shop, clinic: str, number: int
) -> None:
    payment_id = paid(shop, clinic)
    shop.sim.set(lost_response=1)  # not final, so that the refund itself is what is compared
    refund(shop, payment_id, amount_paise=100_000, once=f"refund-{number}")
    shop.sim.set(lost_response=0)

    answer = refund(shop, payment_id, amount_paise=200_000, once=f"refund-{number}")

    assert (answer.status, kind_of(answer)) == (409, "idempotency-conflict")
    assert len(refunds_at(shop.sim, payment_id)) == 1


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_refund_whose_answer_was_lost_is_unknown_until_it_is_found_out(
    shop: Shop, clinic: str, number: int, gateway: str, beat: Any
) -> None:
    # Given a gateway that refunds and whose answer never comes
    payment_id = paid(shop, clinic, gateway)
    beat(0)
    shop.sim.set(lost_response=1)
    lost = refund(shop, payment_id, once=f"lost-{number}")
    shop.sim.set(lost_response=0)
    # Then the answer says so, the credit is reserved, and a repeat asks for nothing more
    assert (lost.status, lost.json["state"]) == (201, "unknown")
    assert (lost.json["credits_taken"], held(clinic)) == (5_500, 5_500)
    again = refund(shop, payment_id, once=f"lost-{number}")
    assert (again.json, "idempotent-replayed" in again.headers) == (lost.json, False)
    # When a worker finds it out, a repeat says so, and from then on it is the stored answer
    beat()
    found = refund(shop, payment_id, once=f"lost-{number}")
    assert found.json == {**lost.json, "state": "processed"}
    assert len(refunds_at(shop.sim, payment_id)) == 1
    assert (balance(clinic), held(clinic)) == (0, 0)
    stored = refund(shop, payment_id, once=f"lost-{number}")
    assert (stored.body, stored.headers["idempotent-replayed"]) == (found.body, "true")


def test_a_refund_that_the_gateway_takes_its_time_over_is_submitted(
    shop: Shop, clinic: str, number: int
) -> None:
    payment_id = paid(shop, clinic)
    shop.sim.set(refund_state="pending", refund_seconds=1_000_000)

    shown = refund(shop, payment_id, once=f"slow-{number}").json

    assert (shown["state"], shown["credits_taken"]) == ("submitted", 5_500)
    assert (balance(clinic), held(clinic)) == (5_500, 5_500)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_refund_that_the_gateway_refuses_fails_and_its_credit_is_free(
    shop: Shop, clinic: str, gateway: str
) -> None:
    payment_id = paid(shop, clinic, gateway)
    shop.sim.set(low_balance=True)

    answer = refund(shop, payment_id)

    assert (answer.status, answer.json["state"]) == (201, "failed")
    assert (answer.json["credits_taken"], answer.json["debt"]) == (0, 0)
    assert (balance(clinic), held(clinic)) == (5_500, 0)
    # And with money there, a new request is a new refund
    shop.sim.set(low_balance=False)
    assert refund(shop, payment_id).json["state"] == "processed"


@pytest.mark.parametrize("known", [True, False])
def test_a_payment_that_is_charged_back_is_not_refunded(
    shop: Shop, clinic: str, beat: Any, *, known: bool
) -> None:
    payment_id = paid(shop, clinic)
    open_dispute(shop.sim, payment_id)
    if known:
        beat(70)

    answer = refund(shop, payment_id)

    if known:
        assert (answer.status, kind_of(answer)) == (409, "not-refundable")
        assert "is charged back" in problem(answer)["detail"]
    else:  # the gateway knows it, and refuses
        assert (answer.status, answer.json["state"]) == (201, "failed")
    assert refunds_at(shop.sim, payment_id) == []
