"""New entities, with the keys of real bodies in their order. Amounts in paise."""

import math
from typing import Any

from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World, unix_now

TEST_CONTACT = {"email": "void@razorpay.com", "contact": "+919999999999"}
"""What test mode fills in if checkout asks for none."""
SMALL_CARD_PAISE = 200_000
"""Up to here no GST is taken on the fee of a card payment."""


def order(world: World, *, amount: int, currency: str, receipt: str | None, notes: Any) -> Entity:
    """Return an order that nobody has tried to pay."""
    return {
        "id": world.chance.id("order"), "entity": "order", "amount": amount, "amount_paid": 0,
        "amount_due": amount, "currency": currency, "receipt": receipt, "offer_id": None,
        "status": "created", "attempts": 0, "notes": notes, "created_at": unix_now(),
    }  # fmt: skip


def payment(
    world: World, *, order_id: str | None, amount: int, currency: str, method: str, notes: Any
) -> Entity:
    """Return a payment that was begun; a card's details are kept beside it, in the store."""
    entity: Entity = {
        "id": world.chance.id("pay"), "entity": "payment", "amount": amount, "currency": currency,
        "status": "created", "order_id": order_id, "invoice_id": None, "international": False,
        "method": method, "amount_refunded": 0, "refund_status": None, "captured": False,
        "description": "Credit top-up", "card_id": None, "bank": None, "wallet": None, "vpa": None,
        **TEST_CONTACT, "notes": notes, "fee": None, "tax": None,
        **no_error(), "acquirer_data": {}, "created_at": unix_now(),
    }  # fmt: skip
    if method == "card":
        card = _card(world)
        world.razorpay.cards[card["id"]] = card
        entity["card_id"] = card["id"]
    elif method == "upi":
        entity["vpa"] = "success@razorpay"
        entity["upi"] = {"vpa": "success@razorpay", "flow": "collect"}
    elif method == "wallet":
        entity["wallet"] = "mobikwik"
    else:
        entity["bank"] = "HDFC"
    return entity


def acquirer_data(world: World, method: str) -> Entity:
    """Return what the bank says of a payment that it authorized."""
    digits = world.chance.digits
    if method == "upi":
        transaction = world.chance.text("acquirer", 32, "0123456789ABCDEF")
        return {"rrn": digits("acquirer", 12), "upi_transaction_id": transaction}
    if method == "card":
        return {"auth_code": digits("acquirer", 6)}
    name = "transaction_id" if method == "wallet" else "bank_transaction_id"
    return {name: digits("acquirer", 7)}


def no_error() -> Entity:
    """Return the error fields of a payment that has not failed."""
    return dict.fromkeys(
        ("error_code", "error_description", "error_source", "error_step", "error_reason")
    )


def fee_and_tax(amount: int, method: str) -> tuple[int, int]:
    """Return the fee (2 % and 18 % GST on it, GST included) and the GST of it, in paise."""
    if method == "card" and amount <= SMALL_CARD_PAISE:
        return math.ceil(amount * 200 / 10_000), 0
    return math.ceil(amount * 236 / 10_000), round(amount * 36 / 10_000)


def refund(
    world: World, *, payment_id: str, amount: int, currency: str, notes: Any,
    receipt: str | None, speed: str,
) -> Entity:  # fmt: skip
    """Return a refund that is under way."""
    return {
        "id": world.chance.id("rfnd"), "entity": "refund", "amount": amount, "currency": currency,
        "payment_id": payment_id, "notes": notes, "receipt": receipt,
        "acquirer_data": {"arn": None}, "created_at": unix_now(), "batch_id": None,
        "status": "pending", "speed_processed": "normal", "speed_requested": speed,
    }  # fmt: skip


def dispute(world: World, *, payment: Entity, amount: int, phase: str, reason: str) -> Entity:
    """Return a dispute that was just opened; the answer is due in a week."""
    now = unix_now()
    papers = (
        "summary", "shipping_proof", "billing_proof", "cancellation_proof",
        "customer_communication", "proof_of_service", "explanation_letter",
        "refund_confirmation", "access_activity_log", "refund_cancellation_policy",
        "term_and_conditions", "others", "submitted_at",
    )  # fmt: skip
    return {
        "id": world.chance.id("disp"), "entity": "dispute", "payment_id": payment["id"],
        "amount": amount, "currency": payment["currency"], "amount_deducted": 0,
        "reason_code": reason, "respond_by": now + 7 * 86_400, "status": "open",
        "evidence": {"amount": amount, **dict.fromkeys(papers)}, "phase": phase,
        "created_at": now,
    }  # fmt: skip


def settlement(world: World, *, amount: int, fees: int, tax: int) -> Entity:
    """Return a settlement that was paid out; `fees` include `tax`."""
    return {
        "id": world.chance.id("setl"), "entity": "settlement", "amount": amount,
        "status": "processed", "fees": fees, "tax": tax,
        "utr": f"SIMCN{world.chance.digits('utr', 11)}", "created_at": unix_now(),
    }  # fmt: skip


def _card(world: World) -> Entity:
    return {
        "id": world.chance.id("card"), "entity": "card", "name": "", "last4": "1007",
        "network": "Visa", "type": "debit", "issuer": "DCBL", "international": False, "emi": False,
        "sub_type": "consumer", "token_iin": "410028000",
    }  # fmt: skip
