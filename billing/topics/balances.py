"""The notices of balances; written by `billing/ledger/alert_levels.py`."""

from typing import Annotated

from pydantic import Field

from billing.topics.entry import AccountData, Audience, Entry, entry
from billing.topics.names import Topic

_WHY = "The platform warns before work that costs credit; the customer is the one who can buy more."


class Balance(AccountData):
    """A balance that crossed a level."""

    level: Annotated[str, Field(description="`ok`, `low`, `exhausted` or `in_debt`")]
    previous_level: Annotated[str, Field(description="the level before")]
    balance: Annotated[int, Field(description="credits; negative: debt")]
    low_balance: Annotated[int, Field(description="a balance of this or less is low, in credits")]


def _example(level: str, previous_level: str, balance: int) -> dict[str, object]:
    levels = {"level": level, "previous_level": previous_level}
    return {**levels, "balance": balance, "low_balance": 500}


ENTRIES: dict[Topic, Entry] = {
    Topic.BALANCE_LOW: entry(
        Balance,
        "The balance of an account fell to its low level.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why=_WHY,
        example=_example("low", "ok", 420),
    ),
    Topic.BALANCE_EXHAUSTED: entry(
        Balance,
        "An account that had credit has none left; `level` says if it fell into debt at once.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why=_WHY,
        example=_example("exhausted", "low", 0),
    ),
    Topic.BALANCE_IN_DEBT: entry(
        Balance,
        "An account that had no credit left is in debt.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why=_WHY,
        example=_example("in_debt", "exhausted", -180),
    ),
    Topic.BALANCE_RECOVERED: entry(
        Balance,
        "An account has credit again, or its balance is no longer low.",
        Audience.PLATFORM,
        why="The platform may lift what it had restricted. The customer has the receipt of the"
        " money that brought it.",
        example=_example("ok", "low", 5_920),
    ),
}
