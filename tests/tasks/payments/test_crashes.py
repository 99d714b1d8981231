"""Processes that die between a gateway's deed and our record of it: nothing is lost or doubled.

The gateway is the real client before a simulator; a double around it dies at the chosen moment, as
a process does: with an error that nobody handles.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
import structlog

import clock
from billing.payments import GatewayName, OrderFacts, PaymentFacts
from gateways import registry
from gateways.protocol import Gateway, NewOrder
from tasks.payments import browser_reports
from tasks.payments import inquiry as payments
from tests.billing.given import assert_ledger_is_clean, at_once, balance, open_account, rows
from tests.gateways.conftest import Sim
from tests.tasks.given import work
from tests.tasks.returns.given import buy, deliver_razorpay, payment_at, razorpay_event

pytestmark = pytest.mark.usefixtures("redis")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


Answer = TypeVar("Answer")


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Mortal:
    """A gateway whose caller dies before or after a call, once."""

    real: Gateway
    dies: set[str] = field(default_factory=set)
    """`before capture`, `after open_order`, ..."""
    meanwhile: Callable[[], object] | None = None
    """Happens after each capture, before its answer is here."""

    @property
    def name(self) -> GatewayName:
        return self.real.name

    @property
    def public_key(self) -> str:
        return self.real.public_key

    def open_order(self, order: NewOrder) -> OrderFacts:
        return self._call("open_order", lambda: self.real.open_order(order))

    def find_order(self, receipt: str, *, opened_at: datetime) -> OrderFacts | None:
        return self._call("find_order", lambda: self.real.find_order(receipt, opened_at=opened_at))

    def order(self, order_id: str) -> OrderFacts:
        return self._call("order", lambda: self.real.order(order_id))

    def payments_of(self, order_id: str) -> Sequence[PaymentFacts]:
        return self._call("payments_of", lambda: self.real.payments_of(order_id))

    def payment(self, payment_id: str) -> PaymentFacts:
        return self._call("payment", lambda: self.real.payment(payment_id))

    def capture(self, payment: PaymentFacts) -> PaymentFacts:
        captured = self._call("capture", lambda: self.real.capture(payment))
        if self.meanwhile is not None:
            self.meanwhile()
        return captured

    def is_signed_by_gateway(self, order_id: str, payment_id: str, signature: str) -> bool:
        return self.real.is_signed_by_gateway(order_id, payment_id, signature)

    def _call(self, name: str, ask: Callable[[], Answer]) -> Answer:
        self._die(f"before {name}")
        answer = ask()
        self._die(f"after {name}")
        return answer

    def _die(self, moment: str) -> None:
        if moment in self.dies:
            self.dies.remove(moment)
            raise Killed(moment)


@pytest.fixture
def gateway(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> Mortal:
    mortal = Mortal(registry.by_name("razorpay"))
    monkeypatch.setattr(registry, "by_name", lambda _: mortal)
    monkeypatch.setattr(registry, "configured", lambda: ["razorpay"])
    return mortal


@pytest.fixture(autouse=True)
def noon(database: str) -> Iterator[None]:
    open_account()
    with clock.frozen(NOON):
        yield
    structlog.reset_defaults()


def let_an_hour_pass() -> None:
    for _ in range(60):
        clock.advance(MINUTE)
        payments.ask()


def order_states() -> list[object]:
    return [row[0] for row in rows("SELECT state FROM billing_orders")]


@pytest.mark.parametrize("moment", ["before open_order", "after open_order"])
@pytest.mark.parametrize("repeat", ["at once", "never"])
def test_an_order_is_one_whenever_the_process_dies(
    sim: Sim, gateway: Mortal, moment: str, repeat: str
) -> None:
    gateway.dies = {moment}
    with pytest.raises(Killed):
        buy()
    assert order_states() == ["requested"]

    if repeat == "at once":
        buy()
    let_an_hour_pass()

    there = list(sim.world.razorpay.orders)
    opened = moment == "after open_order" or repeat == "at once"
    assert len(there) == opened
    assert order_states() == ["open" if opened else "refused"]


def test_a_repeat_that_dies_before_it_looks_is_followed_by_one_that_finds(
    sim: Sim, gateway: Mortal
) -> None:
    for moment in ("after open_order", "before find_order", "after find_order"):
        gateway.dies = {moment}
        with pytest.raises(Killed):
            buy()

    assert [buy().order_id] == list(sim.world.razorpay.orders)


MOMENTS = [
    f"{when} {call}" for call in ("payments_of", "capture", "order") for when in ("before", "after")
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_authorized_money_is_credited_once_whenever_the_asking_process_dies(
    sim: Sim, gateway: Mortal, moment: str
) -> None:
    paid = sim.pay(str(buy().order_id), "authorized")["razorpay_payment_id"]
    gateway.dies = {moment}
    clock.advance(15 * MINUTE)
    with pytest.raises(Killed):
        payments.ask()
    assert gateway.dies == set()

    let_an_hour_pass()

    assert payment_at(sim, paid)["status"] == "captured"
    assert (balance(), order_states()) == (5_500, ["paid"])
    assert_ledger_is_clean()


@pytest.mark.parametrize("moment", ["before payment", "after payment"])
def test_a_payment_is_found_by_the_sweep_where_the_api_dies_over_it(
    sim: Sim, gateway: Mortal, moment: str
) -> None:
    order_id = str(buy().order_id)
    reported = sim.pay(order_id)
    gateway.dies = {moment}
    with pytest.raises(Killed):
        browser_reports.verify_payment(
            gateway_order_id=order_id, payment_id=reported["razorpay_payment_id"],
            signature=reported["razorpay_signature"], actor="test",
        )  # fmt: skip
    assert balance() == 0

    let_an_hour_pass()

    assert (balance(), order_states()) == (5_500, ["paid"])


def test_the_webhook_of_our_own_capture_may_come_before_its_answer(
    sim: Sim, gateway: Mortal
) -> None:
    paid = sim.pay(str(buy().order_id), "authorized")["razorpay_payment_id"]

    def webhook() -> None:
        deliver_razorpay(
            razorpay_event(sim, "order.paid", paid), razorpay_event(sim, "payment.captured", paid)
        )
        work("razorpay")

    gateway.meanwhile = webhook
    clock.advance(15 * MINUTE)

    payments.ask()

    assert len(rows("SELECT 1 FROM credit_transactions WHERE payment_id = :id", id=paid)) == 2
    assert balance() == 5_500


def test_the_money_may_come_while_the_order_is_being_opened(sim: Sim, gateway: Mortal) -> None:
    """The answer to the first call was lost; a repeat finds the order while its webhook comes."""
    gateway.dies = {"after open_order"}
    with pytest.raises(Killed):
        buy()
    [order_id] = sim.world.razorpay.orders
    paid = sim.pay(order_id)["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))
    work("razorpay")
    assert balance() == 0

    placed = buy()

    assert (placed.state, balance()) == ("paid", 5_500)
    let_an_hour_pass()
    assert balance() == 5_500


@pytest.mark.parametrize("unique_receipt", [True, False])
@pytest.mark.parametrize("name", ["razorpay", "stripe"])
def test_one_operation_in_several_processes_at_once_is_one_order(
    sim: Sim, many_connections: None, name: GatewayName, unique_receipt: bool
) -> None:
    """As when a request lease expired over a slow gateway, and a repeat works beside the first."""
    sim.set(unique_receipt=unique_receipt)

    found = at_once(*[lambda: buy(name).order_id] * 6)

    there = [*sim.world.razorpay.orders, *sim.world.stripe.sessions]
    assert set(found) == set(there)
    assert len(there) == 1
    assert order_states() == ["open"]
