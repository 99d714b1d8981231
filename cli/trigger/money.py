"""Payments, refunds, chargebacks and plans: made at the simulator, which reports them by webhooks.

Nothing is written here that a gateway, a customer or a bank would not have caused.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from billing import catalog
from billing.payments import GatewayName, OrderRequest, queries
from billing.topics import Topic
from cli.trigger.cause import Cause
from cli.trigger.scene import ACTOR, Scene, ask_simulator, wait_for
from db.models import Payment, Refund
from db.session import transaction
from errors import PermanentError

GATEWAY: GatewayName = "razorpay"


@dataclass(frozen=True, slots=True)
class _Bought:
    """An order that was placed at the simulator."""

    order_id: str
    amount_paise: int


def _order(scene: Scene, *, package: str | None = None, plan: str | None = None) -> _Bought:
    from tasks.payments import checkout  # noqa: PLC0415 - Celery takes long to load

    wish = OrderRequest(account=scene.ref, gateway=GATEWAY, package=package, plan=plan)
    placed = checkout.place_order(
        wish, actor=ACTOR, operation_key=f"trigger:{secrets.token_hex(8)}"
    )
    if placed.order_id is None:
        raise PermanentError("the simulator has not opened the order yet: try again")
    scene.say(f"ordered {package or plan}: {placed.order_id}")
    return _Bought(placed.order_id, placed.amount_paise)


def _package_of(scene: Scene) -> str:
    product = scene.account().product
    names = [name for name, one in catalog.get().packages.items() if one.product == product]
    if not names:
        raise PermanentError(f"the catalog has no package for {product}: name another account")
    return names[0]


def _pay(scene: Scene, order: _Bought, **chosen: object) -> str:
    paid = ask_simulator("pay", {"order_id": order.order_id, **chosen})
    payment_id: str = paid["razorpay_payment_id"]
    scene.say(f"paid at the simulator: {payment_id}")
    return payment_id


def _credited(payment_id: str) -> Payment:
    def found() -> Payment | None:
        with transaction() as session:
            payment = queries.find(session, payment_id, gateway=GATEWAY)
            return payment if payment is not None and payment.credited_at else None

    return wait_for(f"payment {payment_id} is credited", found)


def _payment(scene: Scene) -> str:
    payment_id = _pay(scene, _order(scene, package=_package_of(scene)))
    _credited(payment_id)
    return payment_id


def _captured(scene: Scene) -> None:
    _payment(scene)


def _failed(scene: Scene) -> None:
    _pay(scene, _order(scene, package=_package_of(scene)), outcome="failure")


def _quarantined(scene: Scene) -> None:
    order = _order(scene, package=_package_of(scene))
    _pay(scene, order, amount=order.amount_paise // 2)


@contextmanager
def _refunds_stay_pending() -> Iterator[None]:
    """Let the simulator accept refunds without ending them: else they are processed at once."""
    before = ask_simulator("switches", {})["refund_state"]
    ask_simulator("switches", {"refund_state": "pending"})
    try:
        yield
    finally:
        ask_simulator("switches", {"refund_state": before})


def _refund(scene: Scene) -> str:
    """Refund a payment in part; return the gateway's id of the refund."""
    from tasks.returns import submission  # noqa: PLC0415 - Celery takes long to load

    payment_id = _payment(scene)
    asked = submission.request_refund(
        payment_id=payment_id, amount_paise=100, reason="billing trigger", actor=ACTOR,
        request_key=f"cli:trigger:{secrets.token_hex(8)}",
    )  # fmt: skip
    scene.say(f"requested a refund of ₹1.00: refund {asked.refund_id}")

    def submitted() -> str | None:
        with transaction() as session:
            return session.get_one(Refund, asked.refund_id).gateway_refund_id

    return wait_for(f"refund {asked.refund_id} is at the gateway", submitted)


def _refund_requested(scene: Scene) -> None:
    _refund(scene)


def _refund_submitted(scene: Scene) -> str:
    with _refunds_stay_pending():
        return _refund(scene)


def _refund_accepted(scene: Scene) -> None:
    _refund_submitted(scene)


def _refund_ended(outcome: str, does: str) -> Cause:
    def happen(scene: Scene) -> None:
        refund_id = _refund_submitted(scene)
        ask_simulator("finish-refund", {"refund_id": refund_id, "outcome": outcome})
        scene.say(f"the simulator ended {refund_id}: {outcome}")

    return Cause(Topic(f"refund.{outcome}"), does, happen)


def _chargeback(scene: Scene) -> str:
    payment_id = _payment(scene)
    dispute_id: str = ask_simulator("disputes", {"payment_id": payment_id})["id"]
    scene.say(f"the payer's bank disputes the payment: {dispute_id}")
    return dispute_id


def _chargeback_opened(scene: Scene) -> None:
    _chargeback(scene)


def _chargeback_moved(status: str) -> Cause:
    def happen(scene: Scene) -> None:
        dispute_id = _chargeback(scene)
        ask_simulator(f"disputes/{dispute_id}", {"status": status})
        scene.say(f"the bank moved {dispute_id} to {status}")

    does = f"disputes a payment, and moves the dispute to {status}"
    return Cause(Topic(f"chargeback.{status}"), does, happen)


def _plan(scene: Scene, *, renews: bool) -> None:
    product = scene.account().product
    for name, plan in catalog.get().plans.items():
        if plan.product == product and (plan.renews is not None) == renews:
            _pay(scene, _order(scene, plan=name))
            return
    raise PermanentError(
        f"the catalog has no {'renewal' if renews else 'plan'} for {product}: name an account of"
        " another product, such as pharmapulse_one"
    )


def _activated(scene: Scene) -> None:
    _plan(scene, renews=False)


def _renewed(scene: Scene) -> None:
    _plan(scene, renews=True)


CAUSES = (
    Cause(Topic.PAYMENT_CAPTURED, "orders a package and pays it", _captured),
    Cause(Topic.PAYMENT_FAILED, "orders a package; its payment fails", _failed),
    Cause(Topic.PAYMENT_QUARANTINED, "orders a package and pays half of it", _quarantined),
    Cause(Topic.REFUND_REQUESTED, "refunds a part of a payment", _refund_requested),
    Cause(Topic.REFUND_SUBMITTED, "refunds a part; the gateway takes it", _refund_accepted),
    _refund_ended("processed", "refunds a part; the gateway sends the money"),
    _refund_ended("failed", "refunds a part; the gateway cannot send the money"),
    Cause(Topic.CHARGEBACK_OPEN, "disputes a payment at the bank", _chargeback_opened),
    *(
        _chargeback_moved(status)
        for status in ("under_review", "action_required", "won", "lost", "closed")
    ),
    Cause(Topic.PLAN_ACTIVATED, "orders the product's plan and pays it", _activated),
    Cause(Topic.PLAN_RENEWED, "orders one more year and pays it", _renewed),
)
