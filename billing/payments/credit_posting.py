"""The credit that a payment brings: paid lot and bonus lot, and the parked leads they pay for.

Called by `billing/payments/intake.py` for what a gateway captured, and by
`billing/payments/attachment.py` for what an operator gives to an account.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from billing.leads import Released, parking
from billing.ledger import Kind, Posting, post
from billing.payments import clawbacks as claims
from billing.plans.grants import granted_now
from db.models import Payment


@dataclass(frozen=True, slots=True)
class CreditedPayment:
    """A payment that was counted as paid now."""

    payment_id: str
    account: str
    credits: int
    """With the bonus."""


def post_credit(
    session: Session,
    paid: Sequence[tuple[Payment, str]],
    *,
    actor: str,
    grants: Sequence[Posting] = (),
) -> tuple[list[CreditedPayment], list[Released]]:
    """Post the credit of locked payments (each with its account's reference), and what it frees.

    Their `credits`, `bonus_credits` and `account_id` are set. `grants` are what the plans bring
    that some of them paid for. Posts, once.
    """
    claims.reopen(session, [payment.id for payment, _ in paid])
    postings = [
        (payment, posting)
        for payment, account in paid
        for posting in _postings(payment, account, actor)
    ]
    released: list[Released] = []
    if postings or grants:  # a plan's renewal may bring nothing
        waiting = parking.Waiting(session, _coming(paid))
        bought = [posting for _, posting in postings]
        results = post(session, [*bought, *grants, *waiting.postings()])
        for (payment, posting), result in zip(postings, results, strict=False):
            applied = result.applied_or_raise()
            if posting.kind is Kind.TOP_UP:
                payment.transaction_id = applied.transaction_id
        for result in results[len(bought) : len(bought) + len(grants)]:
            granted_now(result)
        released = waiting.posted(results[len(bought) + len(grants) :])
    credited = [CreditedPayment(p.gateway_payment_id, account, _brought(p)) for p, account in paid]
    return credited, released


def _postings(payment: Payment, account: str, actor: str) -> list[Posting]:
    # The same whoever finds out that it is paid: the keys stand for this content.
    payment_id = payment.gateway_payment_id
    key = f"{payment.gateway}:{payment_id}"
    parts = (
        (Kind.TOP_UP, payment.credits, f"{key}:top_up", f"Payment {payment_id}"),
        (Kind.BONUS, payment.bonus_credits, f"{key}:bonus", f"Bonus of payment {payment_id}"),
    )
    return [
        Posting(
            account=account,
            amount=amount,
            kind=kind,
            idempotency_key=idempotency_key,
            actor=actor,
            description=description,
            payment_id=payment_id,
            event_at=payment.happened_at,
        )
        for kind, amount, idempotency_key, description in parts
        if amount
    ]


def _brought(payment: Payment) -> int:
    return payment.credits + payment.bonus_credits


def _coming(paid: Sequence[tuple[Payment, str]]) -> dict[int, int]:
    """Return what each account gets: account id -> credits."""
    coming: Counter[int] = Counter()
    for payment, _ in paid:
        assert payment.account_id is not None  # noqa: S101 - set by the caller
        coming[payment.account_id] += _brought(payment)
    return coming
