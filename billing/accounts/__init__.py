"""Accounts: opening, changing and reading them; balances taken over from other books.

The functions are used as `accounts.find(...)`, so that their names do not repeat the area's.
"""

from billing.accounts import gst, opening_balances, review
from billing.accounts.changes import (
    Changes,
    create,
    lock_against_references,
    set_timezone,
    update,
)
from billing.accounts.errors import AccountExists, InvalidAccount
from billing.accounts.queries import (
    Funds,
    available,
    find,
    find_in_reach,
    funds_of,
    get_funds,
    in_reach,
    list_by_ref,
    list_in_reach,
    product_of,
)

__all__ = [
    "AccountExists",
    "Changes",
    "Funds",
    "InvalidAccount",
    "available",
    "create",
    "find",
    "find_in_reach",
    "funds_of",
    "get_funds",
    "gst",
    "in_reach",
    "list_by_ref",
    "list_in_reach",
    "lock_against_references",
    "opening_balances",
    "product_of",
    "review",
    "set_timezone",
    "update",
]
