"""The kinds of ledger rows: their sign, the house account at the other side, the lot they make."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

LotSource = Literal["purchase", "bonus", "grant", "goodwill"]


class Kind(StrEnum):
    """Why credit moved."""

    LEAD_CHARGE = "lead_charge"
    TOP_UP = "top_up"
    BONUS = "bonus"
    GRANT = "grant"
    GOODWILL = "goodwill"
    ADJUSTMENT = "adjustment"


@dataclass(frozen=True, slots=True)
class KindRule:
    """What holds for every row of a kind."""

    house_account: str
    """The other side of the double entry; the same text stands in `transaction_kinds`."""
    sign: Literal[-1, 0, 1]
    """The sign an amount must have; 0: either."""
    lot_source: LotSource = "goodwill"
    """The source of the lot that a positive amount makes."""
    passes_overdraft_limit: bool = False
    """Only a correction may take an account below its limit."""


KIND_RULES: dict[Kind, KindRule] = {
    Kind.LEAD_CHARGE: KindRule("revenue:leads", -1),
    Kind.TOP_UP: KindRule("funding:payments", 1, "purchase"),
    Kind.BONUS: KindRule("promotions:bonus", 1, "bonus"),
    Kind.GRANT: KindRule("plan:grants", 1, "grant"),
    Kind.GOODWILL: KindRule("adjustments", 1, "goodwill"),
    Kind.ADJUSTMENT: KindRule("adjustments", 0, "goodwill", passes_overdraft_limit=True),
}
