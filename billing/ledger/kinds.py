"""The kinds of ledger rows: sign, house account on the other side, source of the lot."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

LotSource = Literal["purchase", "bonus", "grant", "goodwill"]


class Kind(StrEnum):
    """Why credit moved."""

    LEAD_CHARGE = "lead_charge"
    LEAD_REFUND = "lead_refund"
    USAGE = "usage"
    USAGE_REFUND = "usage_refund"
    TOP_UP = "top_up"
    BONUS = "bonus"
    GRANT = "grant"
    GOODWILL = "goodwill"
    ADJUSTMENT = "adjustment"
    EXPIRY = "expiry"
    WRITE_OFF = "write_off"
    OPENING_BALANCE = "opening_balance"
    CLAWBACK = "clawback"
    CLAWBACK_RETURN = "clawback_return"
    BONUS_CLAWBACK = "bonus_clawback"
    BONUS_CLAWBACK_RETURN = "bonus_clawback_return"


@dataclass(frozen=True, slots=True)
class KindRule:
    """The rule for every row of a kind."""

    house_account: str
    """The other side of the double entry; the table `transaction_kinds` has the same text."""
    sign: Literal[-1, 0, 1]
    """The sign of its amounts; 0: either."""
    lot_source: LotSource = "goodwill"
    """The source of the lot for a positive amount."""
    passes_overdraft_limit: bool = False
    """Whether it may take an account below its limit; only corrections may."""
    reversed_by: Kind | None = None
    """The kind of the row that reverses such a charge; None: it cannot be reversed."""


KIND_RULES: dict[Kind, KindRule] = {
    Kind.LEAD_CHARGE: KindRule("revenue:leads", -1, reversed_by=Kind.LEAD_REFUND),
    Kind.LEAD_REFUND: KindRule("revenue:leads", 1),
    Kind.USAGE: KindRule("revenue:usage", -1, reversed_by=Kind.USAGE_REFUND),
    Kind.USAGE_REFUND: KindRule("revenue:usage", 1),
    Kind.TOP_UP: KindRule("funding:payments", 1, "purchase"),
    Kind.BONUS: KindRule("promotions:bonus", 1, "bonus"),
    Kind.GRANT: KindRule("plan:grants", 1, "grant"),
    Kind.GOODWILL: KindRule("adjustments", 1, "goodwill"),
    Kind.ADJUSTMENT: KindRule("adjustments", 0, "goodwill", passes_overdraft_limit=True),
    Kind.EXPIRY: KindRule("breakage", -1),
    Kind.WRITE_OFF: KindRule("adjustments", 1),
    # What a customer had or owed in earlier books counts as bought here.
    Kind.OPENING_BALANCE: KindRule("opening_balances", 0, "purchase", passes_overdraft_limit=True),
    # Takes back the credit of a payment with its money, and gives it back if the money stays.
    Kind.CLAWBACK: KindRule(
        "funding:payments", -1, passes_overdraft_limit=True, reversed_by=Kind.CLAWBACK_RETURN
    ),
    Kind.CLAWBACK_RETURN: KindRule("funding:payments", 1),
    Kind.BONUS_CLAWBACK: KindRule(
        "promotions:bonus", -1, passes_overdraft_limit=True, reversed_by=Kind.BONUS_CLAWBACK_RETURN
    ),
    Kind.BONUS_CLAWBACK_RETURN: KindRule("promotions:bonus", 1),
}

REFUND_KINDS = frozenset(rule.reversed_by for rule in KIND_RULES.values() if rule.reversed_by)
"""The kinds whose rows name the charge that they reverse."""
