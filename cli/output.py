"""How commands print: a table for people, JSON for machines."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from billing.text import DISGUISES

Record = dict[str, Any]


def print_json(value: object) -> None:
    """Print one JSON document; times as ISO 8601 in UTC."""
    click.echo(json.dumps(value, indent=2, default=_encode, ensure_ascii=False))


def print_json_list(records: Iterable[Record]) -> None:
    """Print one JSON array like `print_json`, record by record as they come."""
    between = "["
    for record in records:
        text = json.dumps(record, indent=2, default=_encode, ensure_ascii=False)
        click.echo(between + "\n  " + text.replace("\n", "\n  "), nl=False)
        between = ","
    click.echo("[]" if between == "[" else "\n]")


def inline_json(fields: Record | None) -> str | None:
    """Return fields as one line of JSON, for a cell of a table."""
    return json.dumps(fields, ensure_ascii=False) if fields is not None else None


def print_records(records: Sequence[Record], *, as_json: bool, empty: str) -> None:
    """Print a list of records with the same keys; without any, print `empty`."""
    if as_json:
        print_json(list(records))
        return
    if not records:
        click.echo(empty)
        return
    table = Table(header_style="bold")
    for name, value in records[0].items():
        table.add_column(name.replace("_", " "), justify="right" if _is_number(value) else "left")
    for record in records:
        table.add_row(*[_cell(value) for value in record.values()])
    console().print(table)


def print_record(record: Record, *, as_json: bool) -> None:
    """Print one record."""
    if as_json:
        print_json(record)
        return
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in record.items():
        table.add_row(name.replace("_", " "), _cell(value))
    console().print(table)


def plain(value: object) -> str:
    """Return a value as a person reads it, without characters that control a terminal."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        # Not strftime, which writes the year 1 as 1.
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'seconds')} UTC"
    if _is_number(value):
        return f"{value:,}"
    # A sender's text must not control the terminal or change the order of what it shows: such
    # characters are printed as their numbers.
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], str(value))


def console() -> Console:
    """Return the terminal; piped output has no colours and is not folded to a width."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=10_000)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _cell(value: object) -> Text:
    # Text, not str: rich would interpret [tags] and :emoji: in what customers and senders wrote.
    return Text(plain(value))


_CONTROL = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f{DISGUISES}]")


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
