"""One payment scenario: twenty orders, two gateways that misbehave by the seed, and what must hold.

The gateways are those of the simulator; the receiver is a process of its own; tasks run here, as a
worker runs them. What the simulator remembers is the truth that the books are held against.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import text

import clock
from billing import accounts, audit, verification
from billing.payments import GatewayName, OrderRequest
from billing.payments.inquiries import LAST_LOOK
from billing.payments.orders import receipt_of
from billing.plans import InvalidOrder
from db.session import snapshot, transaction
from devstack.simulator.server import Running
from devstack.simulator.switches import Switches
from errors import TransientError
from tasks.drain import work_one_batch
from tasks.payments import browser_reports, checkout
from tasks.payments import inquiry as payments
from tasks.payments.checkout import PlacedOrder
from tasks.returns import inquiry as refund_inquiry
from tests.billing.given import rows
from tests.scenarios.returns import Returns

ORDERS = 20
ACCOUNTS = 3
SPEED = 50_000
"""Minutes of the gateways pass in milliseconds."""
SWEEPS = 10
RETURNING = range(2, 5)
"""Sweeps in which money goes back."""
TICK = timedelta(minutes=40)
GATEWAYS: tuple[GatewayName, ...] = ("razorpay", "stripe")
PACKAGES = ("credits_1000", "credits_5000", "credits_10000")
ACTOR = "system:scenario"

_PROBABILITIES = (
    "duplicates", "shuffle", "drops", "old_secret", "rate_limited", "bad_gateway", "html_answer",
    "fault_after_effect", "lost_response", "authorized_only", "late_authorization",
    "short_payment", "other_currency", "foreign_payment",
)  # fmt: skip
_WITH_US = {"captured", "partially_refunded", "quarantined", "unmatched"}
_GOOD_API = dict.fromkeys(
    ("rate_limited", "bad_gateway", "html_answer", "lost_response", "slow_answer"), 0
)


@dataclass
class Scenario:
    """The orders of one seed and what their customers do."""

    seed: int
    sim: Running
    control: Callable[[str, Mapping[str, object]], dict[str, Any]]
    """Makes happen at the simulator what customers, banks and time can: a path, what to tell."""
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"scenario {self.seed}")
        self.refs = [f"clinic:s{self.seed}-{i}" for i in range(ACCOUNTS)]
        self.keys: list[str] = []
        self.returns = Returns(self.seed, self.sim, self.control, self.counts)

    def run(self) -> Counter[str]:
        """Play it and check it; return what was seen, counted."""
        self.sim.world.reset(self.seed)
        self.sim.world.switches = self._switches()
        with transaction() as session:
            for ref in self.refs:
                accounts.create(session, ref=ref, name="A clinic", product="clinic_leads")
        for number in range(ORDERS):
            self._one_order(number)
            if self.rng.random() < 0.3:
                work()
        self._settle()
        self._check()
        forget_orders()
        return self.counts

    def _switches(self) -> Switches:
        """Return a mix: about half of the faults do not happen, the others more or less often."""
        rng = self.rng
        mix: dict[str, object] = {
            name: rng.choice((0, 0, rng.uniform(0, 0.4))) for name in _PROBABILITIES
        }
        mix |= {
            "speed": SPEED,
            "unique_receipt": rng.random() < 0.5,
            "second_payment": rng.choice(("auto_refund", "refuse", "capture")),
            "list_lag_seconds": rng.choice((0, 600)),
            "slow_answer": rng.choice((0, 0, 0, 0.05)),
            "slow_answer_seconds": 0.5,
        }
        return Switches().changed(mix)

    def _one_order(self, number: int) -> None:
        gateway = self.rng.choice(GATEWAYS)
        wish = OrderRequest(
            self.rng.choice(self.refs), gateway, return_url="https://clinic.example/credits",
            **self.rng.choice(({"package": self.rng.choice(PACKAGES)},
                               {"amount_paise": self.rng.randrange(100_000, 3_000_000)})),
        )  # fmt: skip
        key = f"scenario:{self.seed}:{number}"
        self.keys.append(key)
        placed = self._place(wish, key)
        order_id = placed.order_id if placed else self._of_receipt(gateway, receipt_of(key))
        for _ in range(self.rng.choice((0, 1, 1, 1, 1, 2, 2))):
            if order_id is not None:
                self._pay(gateway, order_id)

    def _place(self, wish: OrderRequest, key: str) -> PlacedOrder | None:
        """Click "Purchase now", up to three times; None: the customer never saw an order."""
        for _ in range(self.rng.choice((1, 1, 3))):
            try:
                with audit.asked_by(ACTOR, door="api"):
                    return checkout.place_order(wish, actor=ACTOR, operation_key=key)
            except TransientError as error:
                self.counts[f"order: {type(error).__name__}"] += 1
        return None

    def _of_receipt(self, gateway: str, receipt: str) -> str | None:
        """Return the order that the gateway has although we never got its answer, sometimes."""
        if self.rng.random() < 0.5:
            return None
        world = self.sim.world
        if gateway == "razorpay":
            return world.razorpay.order_by_receipt.get(receipt)
        sessions = world.stripe.sessions.values()
        return next((s["id"] for s in sessions if s.get("client_reference_id") == receipt), None)

    def _pay(self, gateway: str, order_id: str) -> None:
        outcome = self.rng.choice(("success",) * 6 + ("failure", "late_authorization"))
        answer = self.control(
            "pay",
            {"order_id" if gateway == "razorpay" else "session_id": order_id, "outcome": outcome},
        )
        if "error" in answer:
            self.counts["payment: refused by the gateway"] += 1
        elif self.rng.random() < 0.5:
            self._come_back(order_id, answer)

    def _come_back(self, order_id: str, answer: Mapping[str, Any]) -> None:
        """The browser tells us, whether or not there is a signature; nonsense is refused."""
        with suppress(TransientError, InvalidOrder), audit.asked_by(ACTOR, door="api"):
            verified = browser_reports.verify_payment(
                gateway_order_id=order_id,
                payment_id=answer.get("razorpay_payment_id"),
                signature=answer.get("razorpay_signature"),
                actor=ACTOR,
            )
            self.counts[f"browser: {verified.state}"] += 1

    def _settle(self) -> None:
        """Let time pass: the gateways send what they have, and the sweep asks."""
        for sweep in range(SWEEPS):
            if sweep == SWEEPS // 2:
                self.sim.world.switches = self.sim.world.switches.changed(dict(_GOOD_API))
            wait_for_webhooks(self.sim)
            work()
            if sweep in RETURNING:
                self.returns.some()
            clock.advance(TICK)
            payments.ask()
            refund_inquiry.ask()
        wait_for_webhooks(self.sim)
        work()
        # What was paid a second time without a word is seen when a paid order is looked at last.
        clock.advance(LAST_LOOK)
        payments.ask()
        refund_inquiry.ask()

    def _check(self) -> None:
        orders = rows(
            "SELECT o.id, o.receipt, o.gateway, o.gateway_order_id, o.state, a.ref, o.amount_paise,"
            " o.currency, o.credits + o.bonus_credits FROM billing_orders o"
            " JOIN accounts a ON a.id = o.account_id WHERE a.ref = ANY(:refs)",
            refs=self.refs,
        )
        expected: Counter[str] = Counter()
        for id_, receipt, gateway, order_id, state, ref, amount, currency, brings in orders:
            assert state not in {"requested", "unknown"}, f"order {receipt} is {state}"
            paid = [
                payment
                for payment in self._captured(str(gateway), str(receipt), order_id)
                if (payment.amount, payment.currency) == (amount, currency)
            ]
            credited = rows(
                "SELECT gateway_payment_id FROM billing_payments"
                " WHERE order_id = :id AND credited_at IS NOT NULL",
                id=id_,
            )
            about = f"order {receipt}, {state}: captured {paid}, credited {credited}"
            assert len(credited) == bool(paid), about
            assert (state == "paid") == bool(paid), about
            if paid:
                assert credited[0][0] in {payment.id for payment in paid}, about
                expected[str(ref)] += int(str(brings))
            self.counts[f"order: {state}"] += 1
        expected.subtract(self.returns.expected(self.refs))
        for ref, balance, held in rows(
            "SELECT ref, balance, held FROM accounts WHERE ref = ANY(:refs)", refs=self.refs
        ):
            about = f"{ref}: {balance} credits, {held} held; expected {expected[str(ref)]}"
            assert int(str(balance)) == expected[str(ref)], about
            assert held == self.returns.held(str(ref)), about
        self._check_states()
        with snapshot() as session:
            assert verification.verify(session).breaches == []

    def _captured(self, gateway: str, receipt: str, order_id: object) -> list["_Money"]:
        """Return the captured payments on our order, as the gateway remembers them."""
        world = self.sim.world
        if gateway == "razorpay":
            return [
                _Money(p["id"], p["amount"], p["currency"])
                for p in world.razorpay.payments.values()
                if p["order_id"] is not None and p["captured"]
                and p["order_id"] in {order_id, world.razorpay.order_by_receipt.get(receipt)}
            ]  # fmt: skip
        return [
            _Money(s["payment_intent"], s["amount_total"], s["currency"].upper())
            for s in world.stripe.sessions.values()
            if s.get("client_reference_id") == receipt and s["payment_status"] == "paid"
        ]

    def _check_states(self) -> None:
        """Nothing is credited but captured money; every captured rupee on an order is on record."""
        world = self.sim.world
        captured = {p["id"] for p in world.razorpay.payments.values() if p["captured"]}
        captured |= {i["id"] for i in world.stripe.intents.values() if i["status"] == "succeeded"}
        recorded = {
            str(id_): str(state)
            for id_, state in rows("SELECT gateway_payment_id, state FROM billing_payments")
        }
        for payment in [*world.razorpay.payments.values(), *world.stripe.intents.values()]:
            state = recorded.get(payment["id"])
            self.counts[f"payment: {state}"] += 1
            if payment["id"] not in captured:
                assert state not in _WITH_US, (payment, state)
            elif payment.get("order_id") in world.razorpay.orders:
                assert state in _WITH_US - {"unmatched"} | {"refunded"}, (payment, state)


@dataclass(frozen=True)
class _Money:
    id: str
    amount: int
    currency: str


def work() -> None:
    """Do what a worker does until nothing of the gateways is due."""
    for source in GATEWAYS:
        while work_one_batch(source):
            pass


def forget_orders() -> None:
    """The gateways of a seed are gone with it: nobody asks them any more."""
    with transaction() as session:
        session.execute(text("UPDATE billing_orders SET next_ask_at = NULL, state = CASE"
                             " WHEN state = 'open' THEN 'expired' ELSE state END"))  # fmt: skip


def wait_for_webhooks(sim: Running) -> None:
    """Wait until the gateways have sent what they have to send."""
    deadline = time.monotonic() + 30
    while not sim.world.timers.idle(for_seconds=0.2):
        assert time.monotonic() < deadline, "the simulator does not come to rest"
        time.sleep(0.005)
