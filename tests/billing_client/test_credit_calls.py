"""Holds and charges over HTTP: typed results and errors, one effect for each key."""

import json
import pickle
from collections.abc import Callable
from datetime import timedelta
from math import inf
from typing import Any

import pytest

import clock
from billing_client import (
    AccountUnknown,
    BillingClient,
    BillingError,
    HoldFinished,
    HoldUnknown,
    IdempotencyConflict,
    InvalidRequest,
    LeadUnknown,
    NotEnoughCredit,
    Refused,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
    http,
)
from billing_client.paid_work import PaidWork
from billing_client.steps import drive
from billing_client.terms import Terms
from tests.billing_client.bank import OPENING, Bank, client_of
from tests.billing_client.scripted_server import Reply, ScriptedServer

IN_PROGRESS = Reply(
    409,
    {"type": "urn:problem-type:billing:request-in-progress", "detail": "ask again"},
    {"Retry-After": "0"},
)
CHARGED = {
    "transaction_id": 7, "account": "clinic:42", "amount": 5, "balance": 95, "held": 0,
    "available": 95,
}  # fmt: skip
PLACED = {
    "hold_id": "3", "account": "clinic:42", "state": "open", "amount": 5, "captured": 0,
    "expires_at": "2026-11-21T10:00:00+00:00", "balance": 95, "held": 5, "available": 90,
}  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries in hundredths of a second."""
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.01)


def test_a_hold_is_placed_looked_at_and_captured_in_part(bank: Bank) -> None:
    placed = bank.client.place_hold(
        bank.account, 100, expires_in_seconds=60, description="a report", idempotency_key="k-1"
    )
    assert (placed.state, placed.amount, placed.captured) == ("open", 100, 0)
    assert (placed.balance, placed.held, placed.available) == (OPENING, 100, OPENING - 100)
    assert placed.expires_at is not None
    assert timedelta(0) < placed.expires_at - clock.now() <= timedelta(seconds=60)
    assert (placed.account, placed.transaction_id, placed.replayed) == (bank.account, None, False)

    captured = bank.client.capture_hold(placed.hold_id, amount=40)

    assert (captured.state, captured.captured, captured.balance) == ("captured", 40, OPENING - 40)
    assert captured.transaction_id is not None
    assert bank.client.hold_status(placed.hold_id) == captured
    # And the first answer to the key stays what it was
    again = bank.client.place_hold(
        bank.account, 100, expires_in_seconds=60, description="a report", idempotency_key="k-1"
    )
    assert (again.hold_id, again.state, again.replayed) == (placed.hold_id, "open", True)


def test_a_hold_that_has_ended_cannot_end_again(bank: Bank) -> None:
    placed = bank.client.place_hold(bank.account, 100)
    assert bank.client.void_hold(placed.hold_id, idempotency_key="v").state == "voided"
    assert bank.client.void_hold(placed.hold_id, idempotency_key="v").replayed
    for end in (bank.client.capture_hold, bank.client.void_hold):
        with pytest.raises(HoldFinished) as caught:
            end(placed.hold_id)
        assert (caught.value.hold_id, caught.value.state) == (placed.hold_id, "voided")
    assert bank.balance() == OPENING


def test_credit_is_charged_at_once_and_once_for_each_key(bank: Bank) -> None:
    first = bank.client.charge_credits(bank.account, 30, description="x", idempotency_key="c")
    again = bank.client.charge_credits(bank.account, 30, description="x", idempotency_key="c")
    bank.client.charge_credits(bank.account, 5)

    assert (first.amount, first.balance, first.replayed) == (30, OPENING - 30, False)
    assert (again.transaction_id, again.replayed) == (first.transaction_id, True)
    assert bank.balance() == OPENING - 35


@pytest.mark.parametrize("step", ["place", "capture", "void", "charges"])
def test_a_lost_answer_is_asked_for_under_the_same_key(bank: Bank, step: str) -> None:
    def ask() -> object:
        if step == "charges":
            return bank.client.charge_credits(bank.account, 10)
        placed = bank.client.place_hold(bank.account, 10)
        finish = bank.client.void_hold if step == "void" else bank.client.capture_hold
        return finish(placed.hold_id)

    bank.proxy.lose(step)
    ask()
    assert bank.proxy.count(step) == 2
    keys = [a.headers["idempotency-key"] for a in bank.proxy.asked if a.method == "POST"]
    assert len(set(keys)) == len(keys) - 1
    assert bank.balance() == OPENING - (0 if step == "void" else 10)


def test_each_refusal_has_a_type(bank: Bank) -> None:
    client = bank.client
    with pytest.raises(NotEnoughCredit) as short:
        client.place_hold(bank.account, OPENING + 1)
    shown = short.value
    assert (shown.account, shown.needed, shown.balance, shown.available) == (
        bank.account, OPENING + 1, OPENING, OPENING,
    )  # fmt: skip
    with pytest.raises(NotEnoughCredit, match=f"{OPENING + 1} credits are needed"):
        client.charge_credits(bank.account, OPENING + 1)
    with pytest.raises(AccountUnknown):
        client.place_hold("clinic:nobody", 1)
    with pytest.raises(HoldUnknown):
        client.hold_status("999999")
    client.charge_credits(bank.account, 1, idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        client.charge_credits(bank.account, 2, idempotency_key="k")
    with pytest.raises(Refused, match="422"):
        client.place_hold(bank.account, 1, expires_in_seconds=10**9)
    held = client.place_hold(bank.account, 10)
    with pytest.raises(Refused, match="422"):
        client.capture_hold(held.hold_id, amount=11)
    with (
        BillingClient(api_url=bank.proxy.url, api_key="another-key-that-nobody-has") as stranger,
        pytest.raises(Unauthorized),
    ):
        stranger.place_hold(bank.account, 1)


@pytest.mark.usefixtures("quick")
def test_a_request_that_is_still_worked_on_is_asked_again_under_its_key() -> None:
    with (
        ScriptedServer(IN_PROGRESS, Reply(503), IN_PROGRESS, Reply(201, CHARGED)) as server,
        client_of(server.url, retries=2) as client,
    ):
        assert client.charge_credits("clinic:42", 5).transaction_id == "7"
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len(server.asked) == 4


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("reply", [IN_PROGRESS, Reply(503), Reply(0)], ids=str)
def test_after_all_tries_the_error_carries_the_key_to_call_again_with(reply: Reply) -> None:
    with ScriptedServer(reply) as server, client_of(server.url, retries=2) as client:
        with pytest.raises(Unreachable) as caught:
            client.place_hold("clinic:42", 5)
        assert len(server.asked) == 3
        assert caught.value.idempotency_key == server.asked[0].headers["idempotency-key"]


def test_the_requests_say_who_asks_and_for_what() -> None:
    with ScriptedServer(Reply(201, CHARGED)) as server, client_of(server.url) as client:
        client.charge_credits("clinic:42", 5, description="a report", idempotency_key="k")
    [asked] = server.asked
    assert asked.path == "/v1/charges"
    assert asked.headers["authorization"].startswith("Bearer ")
    assert asked.headers["idempotency-key"] == "k"
    assert json.loads(asked.body) == {
        "account": "clinic:42", "amount": 5, "description": "a report",
    }  # fmt: skip


@pytest.mark.parametrize(
    "content", [None, [], {}, {"transaction_id": 1}, "x", {**CHARGED, "amount": inf}], ids=str
)
def test_an_answer_that_is_no_charge_is_told(content: Any) -> None:
    with (
        ScriptedServer(Reply(201, content)) as server,
        client_of(server.url) as client,
        pytest.raises(Refused, match="cannot be read: check api_url"),
    ):
        client.charge_credits("clinic:42", 5)


def test_a_hold_in_a_state_that_nobody_knows_never_counts_as_ended() -> None:
    frozen = Reply(201, {**PLACED, "state": "frozen"})
    with ScriptedServer(frozen) as server, client_of(server.url) as client:
        # The caller sees the state, by its text
        assert client.place_hold("clinic:42", 5).state == "frozen"
        # And paid work does not place another hold, which could be a second charge
        terms = Terms(client, "clinic:42", 5, expires_in_seconds=60, description=None)
        with pytest.raises(UnexpectedAnswer, match="the hold is frozen"):
            drive(PaidWork(terms, "key-1").begin(), client)
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda client: client.place_hold("clinic", 1), "account: must be kind:id"),
        (lambda client: client.place_hold("clinic:42", 0), "amount: must be from 1"),
        (lambda client: client.place_hold("clinic:42", 10**13), "amount: must be from 1"),
        (lambda client: client.charge_credits("clinic:42", 1.5), "amount: must be a whole number"),
        (lambda client: client.charge_credits("clinic:42", True), "amount: must be a whole number"),
        (lambda client: client.place_hold("clinic:42", 1, expires_in_seconds=0), "expires_in"),
        (lambda client: client.charge_credits("clinic:42", 1, idempotency_key=" "), "idempotency"),
        (lambda client: client.capture_hold("7", amount=-1), "amount: must be from 1"),
        (lambda client: client.hold_status(".."), "hold_id: . and .."),
        (lambda client: client.void_hold(""), "hold_id: must not be empty"),
    ],
)
def test_what_makes_no_sense_is_not_sent(ask: Callable[[Any], object], message: str) -> None:
    with ScriptedServer(Reply(500)) as server, client_of(server.url) as client:
        with pytest.raises(InvalidRequest) as caught:
            ask(client)
        assert str(caught.value).startswith(message)
        assert server.asked == []


def test_what_a_call_needs_and_the_client_has_not_is_named() -> None:
    with pytest.raises(InvalidRequest, match="api_url and api_key are needed"):
        BillingClient().place_hold("clinic:42", 1)


def test_only_what_is_signed_has_to_be_over_in_five_minutes() -> None:
    BillingClient(api_url="http://x", api_key="k", retries=20, timeout_seconds=60).close()


@pytest.mark.parametrize(
    "error",
    [
        NotEnoughCredit("clinic:42", 5, 3, 2), HoldFinished("7", "voided", "it is"),
        AccountUnknown("clinic:42", "no"), HoldUnknown("7", "no"), IdempotencyConflict("no"),
        Refused(422, "no"), Unauthorized(401, "no"), LeadUnknown("L-1", "no"),
        Unreachable("no", idempotency_key="k"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_errors_come_whole_out_of_a_result_backend(error: BillingError) -> None:
    pickled = pickle.loads(pickle.dumps(error))  # noqa: S301 - of our own making
    assert (type(pickled), str(pickled), vars(pickled)) == (type(error), str(error), vars(error))
    # As Celery's JSON does it: the type, and what it was made with
    rebuilt = type(error)(*json.loads(json.dumps(error.args)))
    assert str(rebuilt) == str(error)


@pytest.mark.parametrize("wrong", ["", " a", "a b", "a,b", "é", "a\n", "x" * 201, 5])
def test_a_key_that_the_api_refuses_is_not_sent(wrong: Any) -> None:
    with ScriptedServer(Reply(200)) as server, client_of(server.url) as client:
        with pytest.raises(InvalidRequest, match="idempotency_key: must be 1 to 200 visible ASCII"):
            client.charge_credits("clinic:42", 5, idempotency_key=wrong)
        assert server.asked == []
