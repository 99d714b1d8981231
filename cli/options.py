"""Options that several commands share, and the `View` that commands print through.

A list command takes `@list_options` and a keyword `view: ListView`; every other command that
prints takes `@record_options` and `view: View`. `cli/output.py` prints what the view asks for.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from cli.actor import process_actor

PAGE = 20
EVERYTHING = 2**31

Decorator = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class View:
    """How the output is wanted. Times in JSON, CSV and TSV are always in UTC."""

    as_json: bool = False
    as_csv: bool = False
    wide: bool = False
    utc: bool = False


@dataclass(frozen=True, slots=True)
class ListView(View):
    """The same for a list, and which page of it."""

    limit: int | None = None
    after: str | None = None


json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
)
_utc_option: Decorator = click.option(
    "--utc", is_flag=True, help="Times in UTC; by default in the account's zone."
)
_csv_option: Decorator = click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
_wide_option: Decorator = click.option("--wide", is_flag=True, help="Show every column.")
_after_option: Decorator = click.option(
    "--after", metavar="POSITION", help="The next page: the line below a page has its position."
)

limit_option: Decorator = click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    help="How many; by default 20 on a terminal, else all.",
)

actor_option: Decorator = click.option(
    "--actor",
    default=process_actor,
    show_default="cli: and your user",
    help="Who does it, such as your name.",
)

reason_option: Decorator = click.option(
    "--reason", required=True, help="Why; an auditor will read it."
)

yes_option: Decorator = click.option(
    "--yes", "-y", is_flag=True, help="Do not ask before credit or money moves."
)


def record_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--utc` and `--json`, as its keyword `view`."""
    return _with_view(command, View, (_utc_option, json_option))


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command with a table that has no pages `--wide`, `--utc`, `--csv` and `--json`."""
    return _with_view(command, View, (_wide_option, _utc_option, _csv_option, json_option))


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command those of a table, and `--limit` and `--after`, as its keyword `view`."""
    options = (
        limit_option, _after_option, _wide_option, _utc_option, _csv_option, json_option,
    )  # fmt: skip
    return _with_view(command, ListView, options)


def _with_view(
    command: Callable[..., Any], kind: type[View], options: tuple[Decorator, ...]
) -> Callable[..., Any]:
    @functools.wraps(command)
    def called(**given: Any) -> Any:
        chosen = {name: given.pop(name) for name in kind.__dataclass_fields__ if name in given}
        view = kind(**chosen)
        if view.as_csv and view.as_json:
            raise click.UsageError("give --csv or --json, not both")
        return command(**given, view=view)

    decorated: Callable[..., Any] = called
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def page(limit: int | None, *, as_json: bool) -> int:
    """Return how many records to read: a page for people, everything for machines."""
    if limit is not None:
        return limit
    return EVERYTHING if as_json else PAGE
