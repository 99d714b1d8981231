"""The credit that a payment brings: a paid lot and a bonus lot; and the parked leads it pays for.

Called by `billing/payments/intake.py` for captured money, and by `billing/payments/attachment.py`
for money that an operator gives to an account.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from billing.leads import ReleasedLead, parking
from billing.ledger import Kind, Posting, post
from billing.payments import clawbacks
from billing.plans.grants import granted_now
from db.models import Payment
from service import request_ids


@dataclass(frozen=True, slots=True)
class CreditedPayment:
    """A payment that was counted as paid now."""

    payment_id: str
    account: str
    credits: int
    """Bonus included; zero for a plan."""
    transaction_id: int | None = field(default=None, compare=False)
    """Of the ledger row with the paid credit."""
    request_id: str | None = field(default=None, compare=False)
    """Of the request that brought the payment, and of that which placed its order."""
    order_request_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Paid:
    """A locked payment to credit, and its account by reference."""

    payment: Payment
    account: str
    request_id: str | None = field(default_factory=request_ids.current)
    """Of the request that brought the payment, and of that which placed its order."""
    order_request_id: str | None = None


def post_credit(
    session: Session,
    paid: Sequence[Paid],
    *,
    actor: str,
    grants: Sequence[Posting] = (),
) -> tuple[list[CreditedPayment], list[ReleasedLead]]:
    """Post the credit of locked payments.

    The payments have their `credits`, `bonus_credits` and `account_id`. `grants` are the months of
    plans that some of them paid for. Posts at most once; returns what was credited, and the parked
    leads that are charged now.
    """
    clawbacks.reopen(session, [one.payment.id for one in paid])
    bought = [(one.payment, posting) for one in paid for posting in _postings(one, actor)]
    released: list[ReleasedLead] = []
    if bought or grants:  # the year of a plan may bring none
        release = parking.ReleaseWithCredit(session, _credits_by_account(paid))
        charges = release.postings()
        postings = [*(posting for _, posting in bought), *grants, *charges]
        results = {
            posting.idempotency_key: result
            for posting, result in zip(postings, post(session, postings), strict=True)
        }
        for payment, posting in bought:
            applied = results[posting.idempotency_key].applied_or_raise()
            if posting.kind is Kind.TOP_UP:
                payment.transaction_id = applied.transaction_id
        for grant in grants:
            granted_now(results[grant.idempotency_key])  # raises if it was refused
        released = release.record([results[charge.idempotency_key] for charge in charges])
    credited = [
        CreditedPayment(
            one.payment.gateway_payment_id, one.account, _credits_with_bonus(one.payment),
            one.payment.transaction_id, one.request_id, one.order_request_id,
        )
        for one in paid
    ]  # fmt: skip
    return credited, released


def _postings(paid: Paid, actor: str) -> list[Posting]:
    # The same for intake and attachment: a key stands for this content.
    payment = paid.payment
    payment_id = payment.gateway_payment_id
    key = f"{payment.gateway}:{payment_id}"
    parts = (
        (Kind.TOP_UP, payment.credits, f"{key}:top_up", f"Payment {payment_id}"),
        (Kind.BONUS, payment.bonus_credits, f"{key}:bonus", f"Bonus of payment {payment_id}"),
    )
    return [
        Posting(
            account=paid.account,
            amount=amount,
            kind=kind,
            idempotency_key=idempotency_key,
            actor=actor,
            description=description,
            payment_id=payment_id,
            event_at=payment.happened_at,
            request_id=paid.request_id,
        )
        for kind, amount, idempotency_key, description in parts
        if amount
    ]


def _credits_with_bonus(payment: Payment) -> int:
    return payment.credits + payment.bonus_credits


def _credits_by_account(paid: Sequence[Paid]) -> dict[int, int]:
    """Return the credits that each account gets, by account id."""
    credits_: Counter[int] = Counter()
    for one in paid:
        assert one.payment.account_id is not None  # set by the caller
        credits_[one.payment.account_id] += _credits_with_bonus(one.payment)
    return credits_
