"""What a clawback owes back: the one rule, on loaded values.

`billing/payments/clawbacks.py` loads a `Case`, asks `decide`, and carries out the `Settlement`. All
amounts are credits, unless their name ends in `_paise`.
"""

from dataclasses import dataclass
from typing import Literal

Position = Literal["none", "reserved", "taken"]
"""Where the credit of a clawback is: with its owner, held for us, taken."""


@dataclass(frozen=True, slots=True)
class Credits:
    """Credit of a payment: what was paid for, and the bonus that came with it."""

    paid: int = 0
    bonus: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.paid + self.bonus

    def plus(self, other: "Credits") -> "Credits":
        """Return the sum."""
        return Credits(self.paid + other.paid, self.bonus + other.bonus)

    def less(self, other: "Credits") -> "Credits":
        """Return what is missing from `other` to this; of each kind zero at least."""
        return Credits(max(0, self.paid - other.paid), max(0, self.bonus - other.bonus))

    def at_most(self, limit: int) -> "Credits":
        """Return so much of it that the total is `limit` at most, paid credit first."""
        paid = min(self.paid, limit)
        return Credits(paid, min(self.bonus, limit - paid))


@dataclass(frozen=True, slots=True)
class Case:
    """One clawback, its payment and its account, as loaded under their locks."""

    wanted: Position
    """Where the state of its money wants the credit."""
    position: Position
    """Where the credit is."""
    own: Credits
    """What the clawback has reserved or taken."""
    amount_paise: int
    payment_paise: int
    brought: Credits
    """What the payment brought."""
    others_paise: int
    """The money of the payment's other settled clawbacks."""
    others: Credits
    """What these have reserved or taken."""
    unspent: int
    """What the account has left; before a new reservation the old hold has ended."""
    caps: bool
    """Whether spent credit is let go (`when_spent = "cap"` in the catalog), or owed as debt."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a clawback is to have, and what has to be done for it."""

    position: Position
    owed: Credits = Credits()
    """Its share of the payment's credit, spent or not."""
    credits: Credits = Credits()
    """What it has from now on: `owed`, less what is let go."""
    unspent: int = 0
    """What the account has left of `owed`: a reservation holds it."""
    takes: Credits = Credits()
    """What is to be posted now."""
    reopens_others: bool = False
    """Whether the payment's other clawbacks may now have more, and are to be settled anew."""


def decide(case: Case) -> Settlement:
    """Return what a clawback is to have: nothing, its share reserved, or its share taken."""
    if case.wanted == "none":
        return Settlement("none", reopens_others=_stood_in_the_way(case))
    owed = _share(case)
    unspent = min(owed.total, case.unspent)
    if case.wanted == "reserved":
        kept = owed.at_most(unspent) if case.caps else owed
        return Settlement("reserved", owed, kept, unspent)
    if case.position == "reserved" and case.caps:
        return Settlement("taken", owed, case.own, unspent, case.own)  # all of it is held
    had = case.own if case.position == "taken" else Credits()
    takes = owed.less(had)  # its share may have grown since it took
    if case.caps:
        takes = takes.at_most(case.unspent)
    return Settlement("taken", owed, had.plus(takes), unspent, takes)


def _share(case: Case) -> Credits:
    """Return the clawback's share of what the payment brought.

    All clawbacks together have the payment's credit in proportion to the sum of their money,
    rounded down, and each what is missing to that. So the sum is exact when all money is back.
    """
    money = max(1, case.payment_paise)
    before = min(case.others_paise, money)
    back = min(before + case.amount_paise, money)

    def part(brought: int, others: int) -> int:
        if case.caps:  # what an earlier clawback let go stays let go
            others = max(others, brought * before // money)
        return max(0, brought * back // money - others)

    return Credits(
        part(case.brought.paid, case.others.paid), part(case.brought.bonus, case.others.bonus)
    )


def _stood_in_the_way(case: Case) -> bool:
    """Tell whether a clawback that ends was, with the others, for more money than was paid.

    A refund and a chargeback can be for the same money: the second finds nothing left to take.
    """
    return case.position != "none" and case.others_paise + case.amount_paise > case.payment_paise
