"""Claims: the credit that a payment brought is taken back with its money, once, to the last credit.

A refund and a chargeback are claims (`db/models.py::CreditClaim`). Their state says where the money
is; `settle` brings the credit in line with it:

    money under way   -> reserved   what is unspent is held, without an end
    money gone        -> taken      from the payment's own lots, then by burn order, then as debt
    money stayed      -> none       what was held is free, what was taken is back in its lots

Locks: the payment, then its account (the ledger's). Each settlement is a transaction of its own.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, holds
from billing.errors import HoldFinished
from billing.kinds import Kind
from billing.ledger import post, reversible
from billing.postings import Posting
from db.bulk import int_array
from db.models import Account, Chargeback, Payment, Refund

Claim = Refund | Chargeback

RESERVED_STATES = frozenset(
    {"requested", "submitted", "unknown", "open", "under_review", "action_required"}
)
"""States of claims whose money is under way."""
TAKEN_STATES = frozenset({"processed", "lost"})


@dataclass(frozen=True, slots=True)
class Share:
    """What of a payment's credit belongs to a part of its money."""

    credits: int
    bonus_credits: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.credits + self.bonus_credits


@dataclass(frozen=True, slots=True)
class Claimed:
    """What other claims on a payment have reserved or taken."""

    amount_paise: int
    credits: int
    bonus_credits: int


def share_of(payment: Payment, amount_paise: int, others: Claimed) -> Share:
    """Return what a claim on `amount_paise` takes, beside what `others` have.

    The sum of all claims is the payment's credit in proportion to the sum of their money, rounded
    down: it is exact, whatever the parts, when all of the money is back.
    """
    back = min(others.amount_paise + amount_paise, payment.amount_paise)

    def part(whole: int, claimed: int) -> int:
        return max(0, whole * back // max(1, payment.amount_paise) - claimed)

    return Share(
        part(payment.credits, others.credits), part(payment.bonus_credits, others.bonus_credits)
    )


_OTHERS = text("""
SELECT coalesce(sum(amount_paise), 0)::bigint, coalesce(sum(credits), 0)::bigint,
       coalesce(sum(bonus_credits), 0)::bigint
  FROM (SELECT id, 'billing_refunds' AS tab, amount_paise, credits, bonus_credits
          FROM billing_refunds WHERE payment_id = :payment AND position = ANY(:positions)
         UNION ALL
        SELECT id, 'billing_chargebacks', amount_paise, credits, bonus_credits
          FROM billing_chargebacks
         WHERE payment_id = :payment AND position = ANY(:positions)) c
 WHERE NOT (c.id = :id AND c.tab = :tab)
""")


def others_than(
    session: Session, payment: Payment, claim: Claim | None, *, taken_only: bool = False
) -> Claimed:
    """Return what the other claims on a payment have reserved or taken; its row is locked."""
    row = session.execute(
        _OTHERS,
        {
            "payment": payment.id,
            "id": claim.id if claim else 0,
            "tab": claim.__tablename__ if claim else "",
            "positions": ["taken"] if taken_only else ["taken", "reserved"],
        },
    ).one()
    return Claimed(*row)


def settle(session: Session, claim: Claim, *, actor: str) -> bool:
    """Bring the credit in line with the claim's state; return whether that is done.

    Not yet, where the payment was not credited and may still be. Posts at most once.
    """
    payment = lock_payment(session, claim.payment_id)
    session.refresh(claim, with_for_update=True)
    if claim.settled_at is not None:
        return True
    if payment.credited_at is None and payment.state != "refunded":
        return False
    before = claim.position
    wanted = _wanted(claim) if payment.credited_at is not None else "none"
    if wanted != before:
        if wanted == "reserved":
            _reserve(session, claim, payment, actor)
        elif wanted == "taken":
            _take(session, claim, payment, actor)
        elif before == "reserved":
            _free(session, claim, actor)
        else:
            _give_back(session, claim, payment, actor)
    claim.settled_at = clock.now()
    _tell(session, claim, payment, before)
    return True


def unsettled(
    session: Session, kind: type[Refund] | type[Chargeback], *, limit: int
) -> Sequence[int]:
    """Return the ids of claims that `settle` can bring in line with their state."""
    return session.scalars(
        select(kind.id)
        .join(Payment, Payment.id == kind.payment_id)
        .where(kind.settled_at.is_(None))
        .where(or_(Payment.credited_at.is_not(None), Payment.state == "refunded"))
        .order_by(kind.id)
        .limit(limit)
    ).all()


def wanted_by(state: str) -> str:
    """Return where the credit belongs in a state of its claim: taken, reserved or none."""
    if state in TAKEN_STATES:
        return "taken"
    return "reserved" if state in RESERVED_STATES else "none"


def lock_payment(session: Session, payment_id: int) -> Payment:
    """Return a payment as it is now, locked to the end of the transaction."""
    return session.scalars(
        select(Payment)
        .where(Payment.id == payment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def subject(claim: Claim) -> str:
    """Return what the audit log calls a claim."""
    return f"{'refund' if isinstance(claim, Refund) else 'chargeback'}:{claim.id}"


def _wanted(claim: Claim) -> str:
    if isinstance(claim, Chargeback) and not claim.moves_money:
        return "none"
    return wanted_by(claim.state)


def _reserve(session: Session, claim: Claim, payment: Payment, actor: str) -> None:
    share = share_of(payment, claim.amount_paise, others_than(session, payment, claim))
    claim.position = "reserved"
    claim.credits, claim.bonus_credits = share.credits, share.bonus_credits
    if not share.total:
        return
    hold = holds.reserve(
        session,
        account=_ref(session, payment),
        at_most=share.total,
        # A new one each time: that there is only one is seen to by the claim's row lock.
        idempotency_key=f"{subject(claim)}:{uuid4()}",
        actor=actor,
        kind=Kind.CLAWBACK,
        description=f"Payment {payment.gateway_payment_id} is being returned",
    )
    claim.hold_id = hold.id if hold else None
    if catalog.get().refunds.when_spent == "cap":
        unspent = hold.amount if hold else 0
        claim.credits = min(share.credits, unspent)
        claim.bonus_credits = min(share.bonus_credits, unspent - claim.credits)


def _take(session: Session, claim: Claim, payment: Payment, actor: str) -> None:
    # Of what is gone alone, whatever was reserved: a claim whose money is under way may still fail,
    # and must leave no gap in what the others took.
    others = others_than(session, payment, claim, taken_only=True)
    share = share_of(payment, claim.amount_paise, others)
    claim.credits, claim.bonus_credits = share.credits, share.bonus_credits
    _end_hold(session, claim, actor)
    if catalog.get().refunds.when_spent == "cap":
        _cap(session, claim, payment)
    claim.position = "taken"
    claim.takes += 1
    session.flush()
    keys = _keys(claim)
    own = f"{payment.gateway}:{payment.gateway_payment_id}"
    lots = (f"{own}:top_up", f"{own}:bonus")
    parts = (
        (Kind.CLAWBACK, claim.credits, keys[0], lots),
        (Kind.BONUS_CLAWBACK, claim.bonus_credits, keys[1], lots[::-1]),
    )
    account = _ref(session, payment)
    postings = [
        Posting(
            account=account,
            amount=-amount,
            kind=kind,
            idempotency_key=key,
            actor=actor,
            description=f"Payment {payment.gateway_payment_id} was returned",
            payment_id=payment.gateway_payment_id,
            takes_first=first,
        )
        for kind, amount, key, first in parts
        if amount
    ]
    if postings:
        results = [r.applied_or_raise() for r in post(session, postings)]
        claim.debt = _debt_of(session, [result.transaction_id for result in results])


def _cap(session: Session, claim: Claim, payment: Payment) -> None:
    account = session.get_one(Account, payment.account_id, with_for_update={"key_share": True},
                              populate_existing=True)  # fmt: skip
    unspent = max(0, account.balance - account.held)
    claim.credits = min(claim.credits, unspent)
    claim.bonus_credits = min(claim.bonus_credits, unspent - claim.credits)


def _free(session: Session, claim: Claim, actor: str) -> None:
    _end_hold(session, claim, actor)
    claim.position, claim.credits, claim.bonus_credits = "none", 0, 0


def _give_back(session: Session, claim: Claim, payment: Payment, actor: str) -> None:
    """Give back what was taken, to the lots that it came from; its debt is forgiven first."""
    keys = _keys(claim)
    account = session.get_one(Account, payment.account_id, with_for_update={"key_share": True}).ref
    postings = [
        Posting(
            account=account,
            amount=reversible(session, key),
            kind=kind,
            idempotency_key=f"{key}:return",
            actor=actor,
            description=f"Payment {payment.gateway_payment_id} stays",
            payment_id=payment.gateway_payment_id,
            reverses=key,
        )
        for kind, key in zip((Kind.CLAWBACK_RETURN, Kind.BONUS_CLAWBACK_RETURN), keys, strict=True)
    ]
    postings = [posting for posting in postings if posting.amount]
    claim.position, claim.credits, claim.bonus_credits, claim.debt = "none", 0, 0, 0
    session.flush()
    for result in post(session, postings) if postings else []:
        result.applied_or_raise()


def _end_hold(session: Session, claim: Claim, actor: str) -> None:
    if claim.hold_id is not None:
        with suppress(HoldFinished):  # an operator may have voided it by hand
            holds.void(session, hold_id=claim.hold_id, idempotency_key=f"{subject(claim)}:end",
                       actor=actor)  # fmt: skip
        claim.hold_id = None


def _keys(claim: Claim) -> tuple[str, str]:
    key = f"{subject(claim)}:{claim.takes}"
    return f"{key}:clawback", f"{key}:bonus_clawback"


_DEBT = text("""
SELECT coalesce(sum(amount), 0)::bigint FROM credit_debts
 WHERE charge_id = ANY(CAST(:ids AS bigint[]))
""")


def _debt_of(session: Session, transaction_ids: list[int]) -> int:
    return session.scalar(_DEBT, {"ids": int_array(transaction_ids)}) or 0


def _ref(session: Session, payment: Payment) -> str:
    return session.scalars(select(Account.ref).where(Account.id == payment.account_id)).one()


def _tell(session: Session, claim: Claim, payment: Payment, before: str) -> None:
    session.flush()
    if claim.position == before:
        return
    audit.record(
        session,
        f"{subject(claim).partition(':')[0]}.{claim.position}",
        subject(claim),
        before={"credit": before},
        after={
            "credit": claim.position,
            "payment": payment.gateway_payment_id,
            "state": claim.state,
            "credits": claim.credits,
            "bonus_credits": claim.bonus_credits,
            "debt": claim.debt,
        },
    )
