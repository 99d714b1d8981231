"""Options that several commands share, and the `View` that commands print through.

A list command takes `@list_options` and a keyword `view: ListView`; every other command that
prints takes `@record_options` and `view: View`. `cli/output.py` prints what the view asks for.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from billing import audit
from cli.actor import process_actor
from cli.times import WHEN, When

PAGE = 20

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
    """The same for a list, and which part of it."""

    limit: int | None = None
    after: str | None = None
    since: When | None = None
    until: When | None = None


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

_since_option: Decorator = click.option(
    "--since", type=WHEN, help="Only from this time on, such as 2026-11-30, yesterday or 7d."
)
_until_option: Decorator = click.option(
    "--until", type=WHEN, help="Only before this time, in the same forms."
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


def _log_as(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None:
        ctx.with_resource(audit.asked_by(process_actor(named=name), door="cli"))


actor_of_the_log_option: Decorator = click.option(
    "--actor",
    callback=_log_as,
    expose_value=False,
    show_default="cli: and your user",
    help="Who does it, such as your name; the audit log shows your user as well.",
)
"""For a command that changes no credit: the name stands in the audit log alone."""

reason_option: Decorator = click.option(
    "--reason", required=True, help="Why; an auditor will read it."
)

yes_option: Decorator = click.option(
    "--yes", is_flag=True, help="Do not ask before credit or money moves."
)


def confirm(question: str | Callable[[], str], *, yes: bool) -> None:
    """Ask before credit or money moves, if a person sits at the terminal; a no ends the command.

    Without a terminal at stdin and stdout nobody is asked: scripts go on. A question that must
    read something first is a function. Never called in a transaction: a person takes their time.
    """
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        click.confirm(question if isinstance(question, str) else question(), abort=True, err=True)


def record_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--utc` and `--json`, as its keyword `view`."""
    return _with_view(command, View, (_utc_option, json_option))


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command with a table that has no pages `--wide`, `--utc`, `--csv` and `--json`."""
    return _with_view(command, View, (_wide_option, _utc_option, _csv_option, json_option))


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command those of a table, `--limit` and `--after`, as its keyword `view`."""
    return _with_view(command, ListView, _OF_A_LIST)


def timed_list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command those of a list, and `--since` and `--until`, as its keyword `view`."""
    return _with_view(command, ListView, (_since_option, _until_option, *_OF_A_LIST))


_OF_A_LIST = (limit_option, _after_option, _wide_option, _utc_option, _csv_option, json_option)


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
