"""Accounts: opening, changing and finding them; balances taken over from other books."""

from billing.accounts import gst, opening_balances, review
from billing.accounts.account import (
    Figures,
    LowBalance,
    available,
    create,
    figures,
    figures_of,
    find,
    find_in_reach,
    keep_from_new_rows,
    list_all,
    reach,
    set_timezone,
    update,
)
from billing.accounts.errors import AccountExists, InvalidAccount

__all__ = [
    "AccountExists",
    "Figures",
    "InvalidAccount",
    "LowBalance",
    "available",
    "create",
    "figures",
    "figures_of",
    "find",
    "find_in_reach",
    "gst",
    "keep_from_new_rows",
    "list_all",
    "opening_balances",
    "reach",
    "review",
    "set_timezone",
    "update",
]
