"""Razorpay's collections, read to their end. Used by `client.py` and `refunds.py`."""

from collections.abc import Callable, Mapping

from gateways.errors import OutcomeUnknown
from gateways.razorpay.answers import RazorpayRefused

DEFAULT_PAGE, LARGEST_PAGE = 10, 100

Item = Mapping[str, object]
Ask = Callable[[dict[str, int]], Item]
"""Asks for a collection with a query: `count`, `skip`."""


def items_of(answer: Mapping[str, object]) -> list[Item]:
    """Return the items of a collection; raises `OutcomeUnknown` if it has none."""
    items = answer.get("items")
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise OutcomeUnknown("razorpay", "the list has no items")
    return items


def all_items(ask: Ask) -> list[Item]:
    """Return all items of a list of one order or one payment.

    Whether such a list comes in pages is not documented; ten or more may be the first page.
    """
    items = items_of(ask({}))
    return items if len(items) < DEFAULT_PAGE else _paged(ask, items)


def pages_of(ask: Ask) -> list[Item]:
    """Return all items of a list that comes in pages; the last page is not full."""
    found: list[Item] = []
    while True:
        page = items_of(ask({"count": LARGEST_PAGE, "skip": len(found)}))
        found += page
        if len(page) < LARGEST_PAGE:
            return found


def _paged(ask: Ask, first: list[Item]) -> list[Item]:
    """Return all items of a list that may come in pages, or may refuse a query for pages."""
    found = {str(item.get("id")): item for item in first}
    while True:
        try:
            page = items_of(ask({"count": LARGEST_PAGE, "skip": len(found)}))
        except RazorpayRefused:
            if len(found) > len(first):
                raise  # there are pages: what is missing must not pass for all there is
            return first  # it has no pages: the first answer was complete
        new = {str(item.get("id")): item for item in page}
        if new.keys() <= found.keys():
            return list(found.values())
        found |= new
