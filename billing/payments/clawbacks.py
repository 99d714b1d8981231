"""Claims: the credit that a payment brought is taken back with its money, once, to the last credit.

A refund and a chargeback are claims (`CreditClaim` of `db/models/returns.py`). Their state says
where the money is; `settle` brings the credit in line with it:

    money under way   -> reserved   what is unspent is held, without an end
    money gone        -> taken      from the payment's own lots, then by burn order, then as debt
    money stayed      -> none       what was held is free, what was taken is back in its lots

Locks: the payment, then its account (the ledger's). Each settlement is a transaction of its own.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import uuid4

from sqlalchemy import or_, select, text, update
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog
from billing.credit import HoldFinished, holds
from billing.ledger import Kind, Posting, post, reversible
from billing.plans import refunded_plans as plan_refunds
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
    money = max(1, payment.amount_paise)
    before = min(others.amount_paise, money)
    back = min(before + amount_paise, money)

    def part(whole: int, claimed: int) -> int:
        if _caps():  # what an earlier claim let go stays let go
            claimed = max(claimed, whole * before // money)
        return max(0, whole * back // money - claimed)

    return Share(
        part(payment.credits, others.credits), part(payment.bonus_credits, others.bonus_credits)
    )


# Those that are to be settled yet see to their share then: what they have may be too little.
_OTHERS = text("""
SELECT coalesce(sum(amount_paise), 0)::bigint, coalesce(sum(credits), 0)::bigint,
       coalesce(sum(bonus_credits), 0)::bigint
  FROM (SELECT id, 'billing_refunds' AS tab, amount_paise, credits, bonus_credits
          FROM billing_refunds
         WHERE payment_id = :payment AND position <> 'none' AND settled_at IS NOT NULL
         UNION ALL
        SELECT id, 'billing_chargebacks', amount_paise, credits, bonus_credits
          FROM billing_chargebacks
         WHERE payment_id = :payment AND position <> 'none' AND settled_at IS NOT NULL) c
 WHERE NOT (c.id = :id AND c.tab = :tab)
""")


def others_than(session: Session, payment: Payment, claim: Claim | None) -> Claimed:
    """Return what the other settled claims on a payment have; its row is locked."""
    row = session.execute(
        _OTHERS,
        {
            "payment": payment.id,
            "id": claim.id if claim else 0,
            "tab": claim.__tablename__ if claim else "",
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
    if wanted == "reserved":
        _reserve(session, claim, payment, actor)
    elif wanted == "taken":
        _take(session, claim, payment, actor)
    elif before != "none":
        _let_others_claim(session, claim, payment)
        if before == "reserved":
            _free(session, claim, actor)
        else:
            _give_back(session, claim, payment, actor)
    claim.settled_at = clock.now()
    _tell(session, claim, payment, before)
    plan_refunds.update_review(session, payment, claim, before)
    return True


def reopen(session: Session, payment_ids: Sequence[int]) -> None:
    """Have the claims on payments settled anew: there is credit now that they can take."""
    for kind in (Refund, Chargeback):
        session.execute(
            update(kind)
            .where(kind.payment_id.in_(payment_ids), kind.settled_at.is_not(None))
            .values(settled_at=None)
        )


def unsettled(
    session: Session, kind: type[Refund] | type[Chargeback], *, limit: int, after: int = 0
) -> Sequence[int]:
    """Return the ids, above `after`, of claims that `settle` can bring in line with their state."""
    return session.scalars(
        select(kind.id)
        .join(Payment, Payment.id == kind.payment_id)
        .where(kind.settled_at.is_(None), kind.id > after)
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


def _caps() -> bool:
    return catalog.get().refunds.when_spent == "cap"


def _reserve(session: Session, claim: Claim, payment: Payment, actor: str) -> None:
    _end_hold(session, claim, actor)  # where it is reserved anew, since its share has grown
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
    if _caps():
        unspent = hold.amount if hold else 0
        claim.credits = min(share.credits, unspent)
        claim.bonus_credits = min(share.bonus_credits, unspent - claim.credits)


def _take(session: Session, claim: Claim, payment: Payment, actor: str) -> None:
    due = _due(session, claim, payment)
    if claim.position == "taken":
        if not due.total:
            return
        claim.credits += due.credits
        claim.bonus_credits += due.bonus_credits
    else:
        claim.credits, claim.bonus_credits = due.credits, due.bonus_credits
    if not due.total:
        _end_hold(session, claim, actor)
    released = _hand_over_hold(session, claim, actor)
    claim.position = "taken"
    claim.takes += 1
    session.flush()
    postings = _postings(claim, payment, due, account=_ref(session, payment), actor=actor)
    if postings:
        postings[0] = replace(postings[0], releases=released)
        results = [r.applied_or_raise() for r in post(session, postings)]
        claim.debt += _debt_of(session, [result.transaction_id for result in results])


def _postings(
    claim: Claim, payment: Payment, due: Share, *, account: str, actor: str
) -> list[Posting]:
    keys = _keys(claim, claim.takes)
    own = f"{payment.gateway}:{payment.gateway_payment_id}"
    lots = (f"{own}:top_up", f"{own}:bonus")
    parts = (
        (Kind.CLAWBACK, due.credits, keys[0], lots),
        (Kind.BONUS_CLAWBACK, due.bonus_credits, keys[1], lots[::-1]),
    )
    return [
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


def _due(session: Session, claim: Claim, payment: Payment) -> Share:
    """Return what the claim takes now: all, or what its share has grown by since it took."""
    if claim.position == "reserved" and _caps():
        return Share(claim.credits, claim.bonus_credits)
    share = share_of(payment, claim.amount_paise, others_than(session, payment, claim))
    if claim.position == "taken":
        share = Share(
            max(0, share.credits - claim.credits), max(0, share.bonus_credits - claim.bonus_credits)
        )
    return _capped(session, share, payment) if _caps() else share


# What has expired goes before anything is taken.
_EXPIRED = text("""
SELECT coalesce(sum(remaining), 0)::bigint FROM credit_lots
 WHERE account_id = :account AND exhausted_at IS NULL AND expires_at <= :now
""")


def _capped(session: Session, share: Share, payment: Payment) -> Share:
    account = session.get_one(Account, payment.account_id, with_for_update={"key_share": True},
                              populate_existing=True)  # fmt: skip
    expired = session.scalar(_EXPIRED, {"account": account.id, "now": clock.now()}) or 0
    unspent = max(0, account.balance - account.held - expired)
    credits_ = min(share.credits, unspent)
    return Share(credits_, min(share.bonus_credits, unspent - credits_))


def _let_others_claim(session: Session, claim: Claim, payment: Payment) -> None:
    """Have the other claims settled anew where this one, which ends, had taken of their share.

    A refund and a chargeback can be for the same money: the second finds nothing left to take.
    """
    others = others_than(session, payment, claim)
    if others.amount_paise + claim.amount_paise > payment.amount_paise:
        reopen(session, [payment.id])


def _free(session: Session, claim: Claim, actor: str) -> None:
    _end_hold(session, claim, actor)
    claim.position, claim.credits, claim.bonus_credits = "none", 0, 0


def _give_back(session: Session, claim: Claim, payment: Payment, actor: str) -> None:
    """Give back what was taken, to the lots that it came from; its debt is forgiven first."""
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
        for take in range(1, claim.takes + 1)  # of what was given back before, nothing is left
        for kind, key in zip(_RETURNS, _keys(claim, take), strict=True)
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


def _hand_over_hold(session: Session, claim: Claim, actor: str) -> int:
    """End the hold for the posting that takes the credit; return what that has to release."""
    if claim.hold_id is None:
        return 0
    hold_id, claim.hold_id = claim.hold_id, None
    with suppress(HoldFinished):
        return holds.hand_over(session, hold_id=hold_id, idempotency_key=f"{subject(claim)}:end",
                               actor=actor)  # fmt: skip
    return 0


_RETURNS = (Kind.CLAWBACK_RETURN, Kind.BONUS_CLAWBACK_RETURN)


def _keys(claim: Claim, take: int) -> tuple[str, str]:
    key = f"{subject(claim)}:{take}"
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
