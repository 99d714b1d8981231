"""Money that goes back in a payment scenario: by us, by the dashboard, by the payer's bank.

What the simulator remembers is the truth: the credit that is gone is that of the money that is.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing import audit
from billing.returns import CannotRefund
from devstack.simulator.razorpay import refunding as razorpay_refunding
from devstack.simulator.razorpay.errors import ApiError
from devstack.simulator.server import Running
from tasks.returns import submission
from tests.billing.given import rows

ACTOR = "system:scenario"


@dataclass
class Returns:
    """What of a scenario's money goes back."""

    seed: int
    sim: Running
    control: Callable[[str, Mapping[str, object]], dict[str, Any]]
    counts: Counter[str]

    def __post_init__(self) -> None:
        self.rng = random.Random(f"returns {self.seed}")
        self.disputed: dict[str, str] = {}
        """Payment -> dispute."""
        self.asked = 0

    def some(self) -> None:
        """Let some of the credited payments go back, wholly or in part."""
        found = rows(
            "SELECT p.gateway_payment_id, p.gateway, p.amount_paise FROM billing_payments p"
            " JOIN accounts a ON a.id = p.account_id"
            " WHERE p.credited_at IS NOT NULL AND a.ref LIKE :refs ORDER BY p.id",
            refs=f"clinic:s{self.seed}-%",
        )
        for payment_id, gateway, paise in found:
            act = self.rng.choice(
                (self._nothing, self._nothing, self._ask, self._ask, self._dashboard, self._dispute)
            )
            act(str(payment_id), str(gateway), int(str(paise)))
        self._end_disputes()

    def expected(self, refs: Sequence[str]) -> Counter[str]:
        """Return what credit is gone by account, as the gateways' books have it."""
        gone: Counter[str] = Counter()
        for payment_id, gateway, ref, paise, credits_, bonus in rows(
            "SELECT p.gateway_payment_id, p.gateway, a.ref, p.amount_paise, p.credits,"
            " p.bonus_credits FROM billing_payments p JOIN accounts a ON a.id = p.account_id"
            " WHERE p.credited_at IS NOT NULL AND a.ref = ANY(:refs)",
            refs=list(refs),
        ):
            back = self._back(str(payment_id), str(gateway))
            assert back <= int(str(paise)), f"{payment_id}: {back} of {paise} is back"
            taken = rows(
                "SELECT coalesce(-sum(amount), 0)::bigint FROM credit_transactions"
                " WHERE payment_id = :id AND kind LIKE '%clawback%'",
                id=payment_id,
            )[0][0]
            exact = int(str(credits_)) * back // int(str(paise))
            exact += int(str(bonus)) * back // int(str(paise))
            about_payment = (
                f"payment {payment_id}: {back} of {paise} is back, {taken} taken, not {exact}"
            )
            if back == paise:
                assert taken == exact, about_payment
                self.counts["return: whole"] += 1
            else:
                # What failed among others may leave the rounding of its part.
                assert abs(int(str(taken)) - exact) <= 2 * 6, about_payment
                self.counts["return: part"] += back > 0
            gone[str(ref)] += int(str(taken))
        return gone

    def held(self, ref: str) -> int:
        """Return the credit that open disputes freeze; there is nothing else on hold."""
        return int(str(rows(
            "SELECT coalesce(sum(h.amount), 0)::bigint FROM holds h"
            " JOIN accounts a ON a.id = h.account_id"
            " JOIN billing_chargebacks c ON c.hold_id = h.id"
            " WHERE a.ref = :ref AND h.state = 'open'", ref=ref,
        )[0][0]))  # fmt: skip

    def _nothing(self, payment_id: str, gateway: str, paise: int) -> None:
        pass

    def _ask(self, payment_id: str, gateway: str, paise: int) -> None:
        """We refund: the whole, or a part."""
        self.asked += 1
        amount = self.rng.choice((None, self.rng.randrange(100, paise)))
        try:
            with audit.asked_by(ACTOR, door="api"):
                refund = submission.request_refund(
                    payment_id=payment_id, amount_paise=amount, reason="scenario", actor=ACTOR,
                    request_key=f"scenario:{self.seed}:{self.asked}",
                )  # fmt: skip
        except CannotRefund:
            self.counts["refund: refused here"] += 1
        else:
            self.counts[f"refund: {refund.state}"] += 1

    def _dashboard(self, payment_id: str, gateway: str, paise: int) -> None:
        """Somebody refunds at the gateway's dashboard."""
        if gateway != "razorpay":
            return
        world = self.sim.world
        body = {"amount": self.rng.randrange(100, paise)}
        try:
            with world.lock:
                payment = world.razorpay.payments[payment_id]
                razorpay_refunding.asked_for(world, payment, body, None)
        except ApiError:
            self.counts["dashboard: refused"] += 1
        else:
            self.counts["dashboard: refunded"] += 1

    def _dispute(self, payment_id: str, gateway: str, paise: int) -> None:
        """The payer's bank wants the money back, of which nothing went back yet."""
        if payment_id in self.disputed or self._touched(payment_id):
            return
        about: dict[str, object] = {"payment_id": payment_id}
        if gateway == "stripe":
            intent = self.sim.world.stripe.intents[payment_id]
            about = {"charge": intent["latest_charge"]}
        answer = self.control("disputes", about)
        if "id" in answer:
            self.disputed[payment_id] = answer["id"]
            self.counts["dispute: opened"] += 1

    def _touched(self, payment_id: str) -> bool:
        world = self.sim.world
        mine = rows(
            "SELECT 1 FROM billing_refunds r JOIN billing_payments p ON p.id = r.payment_id"
            " WHERE p.gateway_payment_id = :id",
            id=payment_id,
        )
        theirs = [r for r in world.razorpay.refunds.values() if r["payment_id"] == payment_id]
        return bool(mine or theirs)

    def _end_disputes(self) -> None:
        for dispute_id in self.disputed.values():
            if self.rng.random() < 0.4:
                status = self.rng.choice(("won", "lost"))
                answer = self.control(f"disputes/{dispute_id}", {"status": status})
                self.counts[f"dispute: {status}"] += "error" not in answer

    def _back(self, payment_id: str, gateway: str) -> int:
        """Return the money that is back for good, in paise."""
        world = self.sim.world
        if gateway == "razorpay":
            refunded = sum(
                r["amount"] for r in world.razorpay.refunds.values()
                if r["payment_id"] == payment_id and r["status"] == "processed"
            )  # fmt: skip
            lost = [d for d in world.razorpay.disputes.values() if d["payment_id"] == payment_id]
        else:
            refunded = sum(
                r["amount"] for r in world.stripe.refunds.values()
                if r["payment_intent"] == payment_id and r["status"] == "succeeded"
            )  # fmt: skip
            lost = [d for d in world.stripe.disputes.values() if d["payment_intent"] == payment_id]
        return int(refunded + sum(d["amount"] for d in lost if d["status"] == "lost"))
