"""How a change of a payment is written down: its entry in the audit log and its notice.

Called by the intake of payments and by their attachment. Pure.
"""

from billing import audit
from billing.topics import Topic
from db.models import Payment
from db.outbox import NewNotice

NOTIFIED_STATES = ("captured", "failed", "quarantined", "unmatched")
"""States that others are notified of when a gateway's facts lead to them."""


def subject_of(payment: Payment) -> str:
    """Return the name of a payment in the audit log and the outbox."""
    return f"payment:{payment.gateway}:{payment.gateway_payment_id}"


def audit_change(payment: Payment, before: tuple[str, int] | None) -> audit.Change:
    """Return the audit entry of a payment.

    `before` is its (state, refunded paise) before the change; None: the payment is new.
    """
    after = {"state": payment.state, "amount_paise": payment.amount_paise}
    if payment.reason is not None:
        after["reason"] = payment.reason
    if payment.refunded_paise:
        after["refunded_paise"] = payment.refunded_paise
    if payment.credits:
        after["credits"] = payment.credits + payment.bonus_credits
    was = None if before is None else {"state": before[0], "refunded_paise": before[1]}
    return audit.Change(subject_of(payment), f"payment.{payment.state}", was, after)


def notice_of(payment: Payment, account: str | None) -> NewNotice:
    """Return the notice of a payment's state, such as `payment.captured`; `account` by reference.

    The topics name the states of `NOTIFIED_STATES` and `partially_refunded`.
    """
    return NewNotice(
        Topic(f"payment.{payment.state}"),
        subject_of(payment),
        payment.account_id,
        {
            "payment_id": payment.gateway_payment_id,
            "gateway": payment.gateway,
            "order_id": payment.gateway_order_id,
            "account": account,
            "state": payment.state,
            "reason": payment.reason,
            "amount_paise": payment.amount_paise,
            "currency": payment.currency,
            "credits": payment.credits,
            "bonus_credits": payment.bonus_credits,
        },
    )
