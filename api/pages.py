"""Pages of the API's lists: 20 rows, and where the next page begins."""

from collections.abc import Sequence
from typing import TypeVar

PAGE = 20

_Row = TypeVar("_Row")


def page_of(found: Sequence[_Row]) -> tuple[Sequence[_Row], bool]:
    """Return the rows of a page, and whether more follow; `found` has one row more than a page."""
    return found[:PAGE], len(found) > PAGE
