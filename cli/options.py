"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click

PAGE = 20
EVERYTHING = 2**31

Decorator = Callable[[Any], Any]

json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
)

limit_option: Decorator = click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    help="How many; by default 20, and with --json all.",
)

actor_option: Decorator = click.option(
    "--actor", required=True, help="Who does it, such as your name."
)

reason_option: Decorator = click.option(
    "--reason", required=True, help="Why; an auditor will read it."
)


def page(limit: int | None, *, as_json: bool) -> int:
    """Return how many records to read: a page for people, everything for machines."""
    if limit is not None:
        return limit
    return EVERYTHING if as_json else PAGE
