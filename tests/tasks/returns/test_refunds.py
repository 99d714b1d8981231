"""Refunds on beat: what no answer and no webhook reported is found, once, and stops no other."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from redis import Redis
from structlog.testing import capture_logs

import clock
import settings
from billing.payments import GatewayName
from billing.returns import refunds
from db.session import transaction
from gateways import registry
from gateways.errors import GatewayNotConfigured, GatewayNotFound
from gateways.razorpay.client import RazorpayGateway
from tasks.returns import inquiry, submission
from tasks.returns.submission import RefundStanding
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    balance,
    give,
    open_account,
    post_all,
    rows,
)
from tests.billing.returns.given import held
from tests.billing.verification.payment_rows import add_payment
from tests.gateways.conftest import Sim
from tests.tasks.given import work
from tests.tasks.returns.given import (
    deliver_razorpay,
    open_dispute,
    paid,
    razorpay_event,
    refunds_at,
)

pytestmark = pytest.mark.usefixtures("sim", "redis")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
GATEWAYS: tuple[GatewayName, ...] = ("razorpay", "stripe")


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def noon(database: str) -> Iterator[None]:
    open_account()
    with clock.frozen(NOON):
        yield
    structlog.reset_defaults()


def ask(payment_id: str, amount: int | None = None, key: str = "r-1") -> RefundStanding:
    return submission.request_refund(
        payment_id=payment_id, amount_paise=amount, reason="asked", actor="test", request_key=key
    )


def after(wait: timedelta) -> list[Any]:
    """Let time pass and beat tick; what was logged of errors and warnings."""
    clock.advance(wait)
    with capture_logs() as logs:
        inquiry.ask()
    return [line for line in logs if line["log_level"] in {"error", "warning"}]


def refund_rows() -> list[tuple[object, ...]]:
    """(state, position) of each refund, oldest first."""
    return list(rows("SELECT state, position FROM billing_refunds ORDER BY id"))


DONE = ("processed", "taken")


@pytest.mark.parametrize("after_effect", [0, 1])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_refund_without_an_answer_is_found_or_asked_for_again_and_is_one(
    sim: Sim, gateway: GatewayName, after_effect: int
) -> None:
    # Given a gateway that breaks before it refunds, or after it
    payment_id = paid(sim, gateway)
    after(timedelta(0))  # all are listed, and are not for an hour
    sim.set(bad_gateway=1, fault_after_effect=after_effect)
    assert ask(payment_id, 250_000).state == "unknown"
    assert len(refunds_at(sim, payment_id)) == after_effect
    sim.set(bad_gateway=0)
    # When its two minutes are not over, nothing is asked
    after(MINUTE)
    assert refund_rows() == [("unknown", "reserved")]
    # Then it is there once, and taken
    after(2 * MINUTE)
    assert refund_rows() == [DONE]
    assert len(refunds_at(sim, payment_id)) == 1
    assert (balance(), held()) == (2_750, 0)
    assert_ledger_is_clean()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_refund_is_one_whenever_the_asking_process_dies(
    sim: Sim, gateway: GatewayName, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = paid(sim, gateway)
    kind = type(registry.by_name(gateway))
    real = kind.refund

    def dies(self: Any, *args: Any, **kwargs: Any) -> Any:
        if moment == "after":
            real(self, *args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(kind, "refund", dies)
        with pytest.raises(Killed):
            ask(payment_id)
    assert refund_rows() == [("requested", "reserved")]
    assert held() == 5_500

    after(2 * MINUTE)

    assert refund_rows() == [DONE]
    assert len(refunds_at(sim, payment_id)) == 1
    assert balance() == 0
    assert_ledger_is_clean()


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_credit_is_reserved_and_committed_before_the_gateway_is_asked(
    sim: Sim, gateway: GatewayName, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = paid(sim, gateway)
    kind = type(registry.by_name(gateway))
    real, seen = kind.refund, []

    def looks(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((refund_rows(), held()))  # on a connection of its own
        return real(self, *args, **kwargs)

    monkeypatch.setattr(kind, "refund", looks)
    # By the API's way, then by the Celery door's: the row alone, and the rest on beat
    ask(payment_id, 100_000)
    with transaction() as session:
        refunds.request(
            session, payment_id=payment_id, amount_paise=100_000, reason="asked", actor="test",
            request_key="r-2", reserve=False,
        )  # fmt: skip
    after(timedelta(0))

    assert seen == [
        ([("requested", "reserved")], 1_100), ([DONE, ("requested", "reserved")], 1_100),
    ]  # fmt: skip


def test_a_refund_that_the_gateway_refuses_fails_and_frees_its_credit(sim: Sim) -> None:
    payment_id = paid(sim)
    sim.set(low_balance=True)

    refund = ask(payment_id)

    assert (refund.state, refund.credits_taken) == ("failed", 0)
    assert "enough balance" in str(refund.last_error)
    assert (balance(), held()) == (5_500, 0)
    sim.set(low_balance=False)
    assert ask(payment_id, key="r-2").state == "processed"
    assert_ledger_is_clean()


@pytest.mark.parametrize("outcome", ["processed", "failed"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_the_end_of_a_refund_is_found_out_where_its_webhook_is_lost(
    sim: Sim, gateway: GatewayName, outcome: str
) -> None:
    sim.set(refund_state="pending")
    payment_id = paid(sim, gateway)
    ask(payment_id)
    [there] = refunds_at(sim, payment_id)
    after(2 * MINUTE)
    assert refund_rows() == [("submitted", "reserved")]

    sim.post("/simulator/finish-refund", {"refund_id": there["id"], "outcome": outcome})
    after(5 * MINUTE)

    assert refund_rows() == [DONE if outcome == "processed" else ("failed", "none")]
    assert held() == 0


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_refunds_and_disputes_that_no_webhook_told_are_listed_once_an_hour(
    sim: Sim, gateway: GatewayName
) -> None:
    # Given a listing, and then a refund from the dashboard and a payer's dispute
    payment_id, disputed = paid(sim, gateway), paid(sim, gateway, "op-2")
    after(MINUTE)
    if gateway == "razorpay":
        sim.refund(payment_id, amount=250_000)
    else:
        sim.refund_at_stripe(payment_id, 250_000)
    dispute = open_dispute(sim, disputed)
    # When the hour is not over, nobody asks
    after(58 * MINUTE)
    assert refund_rows() == []
    # Then both are known
    after(2 * MINUTE)
    assert refund_rows() == [DONE]
    assert (balance(), held()) == (11_000 - 2_750, 5_500)
    # And so is the dispute's end, an hour later
    sim.post(f"/simulator/disputes/{dispute['id']}", {"status": "lost"})
    after(HOUR)
    assert rows("SELECT state, position FROM billing_chargebacks") == [("lost", "taken")]
    assert (balance(), held()) == (2_750, 0)
    assert_ledger_is_clean()


def test_a_listing_that_found_nobody_comes_again_in_minutes(
    sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = paid(sim)
    with monkeypatch.context() as away:
        away.setenv("RAZORPAY_API_BASE", "http://127.0.0.1:1")
        settings.get.cache_clear()
        after(MINUTE)
    settings.get.cache_clear()
    sim.refund(payment_id, amount=250_000)

    after(4 * MINUTE)
    assert refund_rows() == []
    after(2 * MINUTE)

    assert refund_rows() == [DONE]


def test_old_news_of_a_refund_that_failed_since_does_not_stay(sim: Sim) -> None:
    # Given a payment whose old snapshot says that half of it is back
    payment_id = paid(sim)
    refund = {**sim.world.razorpay.payments[payment_id]}
    sim.world.razorpay.payments[payment_id]["amount_refunded"] = 250_000
    deliver_razorpay(razorpay_event(sim, "payment.captured", payment_id))
    sim.world.razorpay.payments[payment_id] = refund
    work("razorpay")
    assert rows("SELECT state FROM billing_payments") == [("partially_refunded",)]

    after(MINUTE)

    assert rows("SELECT state, refunded_paise FROM billing_payments") == [("captured", 0)]
    assert ask(payment_id).amount_paise == 500_000


def test_a_payment_that_says_to_be_refunded_has_its_refunds_asked_for(sim: Sim) -> None:
    payment_id = paid(sim)
    after(MINUTE)
    sim.refund(payment_id, amount=250_000)
    deliver_razorpay(razorpay_event(sim, "payment.captured", payment_id))
    work("razorpay")

    after(MINUTE)

    assert refund_rows() == [DONE]
    assert balance() == 2_750


def test_a_claim_that_cannot_be_settled_is_an_error_in_the_log_and_stops_no_other(
    sim: Sim,
) -> None:
    # Given a ledger row that stands under the key of the first refund's clawback
    first, second = paid(sim), paid(sim, key="op-2")
    disputed = paid(sim, key="op-3")
    after(MINUTE)
    post_all(give(1, key="refund:1:1:clawback"))
    sim.refund(first, amount=250_000)
    sim.refund(second, amount=250_000)
    open_dispute(sim, disputed)

    logs = after(HOUR)

    assert {(line["event"], line["claim"]) for line in logs} == {("credit not settled", 1)}
    assert refund_rows() == [("processed", "none"), DONE]
    assert held() == 5_500
    # And it is tried again at every tick
    assert [line["event"] for line in after(MINUTE)] == ["credit not settled"]


def test_a_payment_whose_refunds_are_refused_stops_no_other(sim: Sim) -> None:
    # Given a payment that says to be refunded, and that the gateway does not know
    add_payment(
        "clinic:42", "pay_Elsewhere00001", credits=0, refunded_paise=1, state="partially_refunded"
    )
    payment_id, at_stripe = paid(sim), paid(sim, "stripe", "op-2")
    sim.set(lost_response=1)
    ask(payment_id)
    ask(at_stripe, key="r-2")
    sim.set(lost_response=0)

    logs = after(2 * MINUTE)

    assert refund_rows() == [DONE, DONE]
    assert [line["event"] for line in logs] == ["refunds not listed"]
    # And it is not asked for again and again
    assert after(MINUTE) == []


def test_a_listing_that_is_refused_stops_no_refund(
    sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: Any, *, since: datetime) -> Any:
        raise GatewayNotFound("razorpay", "no such URL", status=400)

    monkeypatch.setattr(RazorpayGateway, "disputes", refuses)
    payment_id, at_stripe = paid(sim), paid(sim, "stripe", "op-2")
    sim.set(lost_response=1)
    ask(payment_id)
    ask(at_stripe, key="r-2")
    sim.set(lost_response=0)

    logs = after(2 * MINUTE)

    assert refund_rows() == [DONE, DONE]
    assert [line["event"] for line in logs] == ["disputes not listed"]


def test_a_gateway_that_is_away_is_asked_again_and_keeps_no_other_waiting(
    sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id, at_stripe = paid(sim), paid(sim, "stripe", "op-2")
    after(MINUTE)
    with monkeypatch.context() as away:
        away.setenv("RAZORPAY_API_BASE", "http://127.0.0.1:1")
        settings.get.cache_clear()
        assert ask(payment_id).state == "unknown"
        sim.set(lost_response=1)
        ask(at_stripe, key="r-2")
        sim.set(lost_response=0)
        logs = after(2 * MINUTE)
        assert [line["event"] for line in logs] == ["gateway not asked"]
        assert refund_rows() == [("unknown", "reserved"), DONE]
    settings.get.cache_clear()

    after(5 * MINUTE)

    assert refund_rows() == [DONE, DONE]
    assert len(refunds_at(sim, payment_id)) == 1


def test_a_key_that_cannot_be_one_keeps_no_other_gateway_waiting(
    sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_stripe = paid(sim, "stripe")
    sim.set(lost_response=1)
    ask(at_stripe)
    sim.set(lost_response=0)
    monkeypatch.setenv("RAZORPAY_KEY_ID", "rzp_test_k\u00e9y")
    settings.get.cache_clear()

    logs = after(2 * MINUTE)

    assert [line["event"] for line in logs] == ["gateway not asked"]
    assert refund_rows() == [DONE]


def test_a_gateway_that_is_not_set_up_is_told_before_anything_is_reserved(
    sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = paid(sim)
    monkeypatch.delenv("RAZORPAY_KEY_ID")
    monkeypatch.delenv("RAZORPAY_KEY_SECRET")
    settings.get.cache_clear()

    with pytest.raises(GatewayNotConfigured):
        ask(payment_id)

    assert (refund_rows(), held()) == ([], 0)


def test_several_ticks_and_a_repeat_at_once_are_one_refund(
    sim: Sim, many_connections: None, redis: Redis
) -> None:
    payment_id = paid(sim)
    sim.set(bad_gateway=1)
    ask(payment_id)
    sim.set(bad_gateway=0)
    clock.advance(2 * MINUTE)

    at_once(*[lambda: inquiry.ask_gateway("razorpay", stop_at=float("inf"))] * 4,
            lambda: ask(payment_id))  # fmt: skip
    inquiry.ask()

    assert len(refunds_at(sim, payment_id)) == 1
    assert (refund_rows(), balance()) == ([DONE], 0)
    assert_ledger_is_clean()
    assert redis.get("billing:turn:asking_about_refunds") is None
