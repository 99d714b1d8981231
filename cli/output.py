"""How commands print: for people on a terminal, TSV in a pipe, CSV or JSON if asked for.

A command hands over records and the `View` of its options (`cli/options.py`). On a terminal a
list shows few columns (`--wide`: all), times in the account's zone (`--utc`: in UTC), amounts with
their unit, and how the next page is asked for. TSV, CSV and JSON hold every field of every row,
numbers without commas and times in UTC.
"""

import csv
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.text import Text
from sqlalchemy.orm import Session

import settings
from billing import accounts
from cli.cells import (
    TEXTS,
    Record,
    encode,
    for_machine,
    for_person,
    is_credits,
    is_number,
    plain,
)
from cli.options import PAGE, ListView, View
from cli.tables import Column, field_lines, lay_out, with_unit
from db.pages import COUNTED, Page, Wanted
from db.session import transaction

__all__ = [
    "Columns",
    "Record",
    "Section",
    "console",
    "is_for_people",
    "plain",
    "print_json",
    "print_json_list",
    "print_list",
    "print_record",
    "print_records",
    "print_sections",
    "zone_of",
]

ROWS_AT_A_TIME = 1_000
"""Rows of one transaction if all are printed: memory does not grow with the length of a list."""

ARGUMENTS = "billing.arguments"
"""Where `cli/main.py` keeps the typed arguments, for the line that asks for the next page."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The fields of a list by name, divided by blanks: those of a terminal, and the others.

    Together they are the header line of TSV and CSV, also if no row follows. Fields that a `+`
    joins share a column on a terminal that is too narrow for both.
    """

    few: str
    more: str = ""

    def names(self, *, wide: bool) -> list[str]:
        """Return the names in their order."""
        return [name for group in self.groups(wide=wide) for name in group]

    def groups(self, *, wide: bool) -> list[list[str]]:
        """Return the names in their order, those together that may share a column."""
        words = self.few.split() + (self.more.split() if wide else [])
        return [word.split("+") for word in words]


UTC_ZONE = ZoneInfo("UTC")

Reader = Callable[[Session, Wanted], Page[Record]]
"""Reads one page of a list as records."""


def print_json(value: object) -> None:
    """Print one JSON document; times as ISO 8601 in UTC."""
    click.echo(json.dumps(value, indent=2, default=encode, ensure_ascii=False))


def print_json_list(records: Iterable[Record]) -> None:
    """Print one JSON array like `print_json`, record by record as they come."""
    between = "["
    for record in records:
        text = json.dumps(record, indent=2, default=encode, ensure_ascii=False)
        click.echo(between + "\n  " + text.replace("\n", "\n  "), nl=False)
        between = ","
    click.echo("[]" if between == "[" else "\n]")


def print_list(
    read: Reader,
    view: ListView,
    *,
    columns: Columns,
    empty: str,
    account: str | None = None,
) -> None:
    """Print a list that has pages.

    `read(session, wanted)` returns a page of records. A terminal gets one page and the command
    for the next one. A pipe, CSV and JSON get all (or `--limit`), read in portions, each in a
    transaction of its own. `account`: the one whose zone counts, if the list is of one account.
    """
    zone = zone_of(account)
    wanted = _wanted(view, zone)
    if not is_for_people(view):
        _print_for_machine(_all_of(read, wanted, whole=view.limit is None), view, columns)
        return
    with transaction() as session:
        found = read(session, wanted)
    zone = UTC_ZONE if view.utc else zone
    if not found:
        click.echo(empty if view.after is None else "Nothing follows.")
        return
    _print_table(found.rows, columns.groups(wide=view.wide), zone)
    if found.more:
        _say_how_to_go_on(found)


def print_records(
    records: Sequence[Record],
    view: View,
    *,
    columns: Columns | None = None,
    empty: str,
    zone: ZoneInfo | None = None,
) -> None:
    """Print records with the same keys, all of them; without any, print `empty` for people.

    `columns` None: all fields. `zone` None: BILLING_TIMEZONE.
    """
    columns = columns or Columns(" ".join(records[0]) if records else "")
    if not is_for_people(view):
        _print_for_machine(records, view, columns)
    elif not records:
        click.echo(empty)
    else:
        zone = UTC_ZONE if view.utc else zone or settings.get().zone
        _print_table(records, columns.groups(wide=view.wide), zone)


def print_record(
    record: Record,
    view: View,
    *,
    zone: ZoneInfo | None = None,
) -> None:
    """Print one record: one field a line, in a pipe as TSV with the header `field`, `value`.

    `zone` None: that of the account in the field `account`, else BILLING_TIMEZONE.
    """
    if view.as_json:
        print_json(record)
    elif not is_for_people(view):
        fields = [{"field": name, "value": value} for name, value in record.items()]
        _print_for_machine(fields, view, Columns("field value"))
    else:
        zone = UTC_ZONE if view.utc else zone or _zone_of_record(record)
        terminal = console()
        pairs = [(_title(name), _with_unit(name, record, zone)) for name in record]
        _print_lines(terminal, field_lines(pairs, width=terminal.width))


Section = tuple[str, Callable[[], None]]
"""A part of an output: its title (empty: none), and what prints it."""


def print_sections(sections: Sequence[Section]) -> None:
    """Print parts one after the other with a blank line between, on a terminal with titles."""
    for number, (title, print_part) in enumerate(sections):
        if number:
            click.echo()
        if title and is_for_people(View()):
            click.echo(f"{title}\n")
        print_part()


def console() -> Console:
    """Return the terminal. Into a pipe nothing is coloured, and nothing folded to a width."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(width=10_000, highlight=False)


def is_for_people(view: View) -> bool:
    """Return whether a person reads: stdout is a terminal, and neither CSV nor JSON is asked for.

    TTY_COMPATIBLE=1 or FORCE_COLOR=1 say so of a pipe, such as one into `less -R`.
    """
    return not (view.as_json or view.as_csv) and Console().is_terminal


def _wanted(view: ListView, zone: ZoneInfo) -> Wanted:
    since = view.since.at(zone) if view.since else None
    until = view.until.at(zone) if view.until else None
    if since is not None and until is not None and until < since:
        raise click.UsageError("--until must not be before --since")
    return Wanted(view.limit or PAGE, view.after, since, until)


def _all_of(read: Reader, wanted: Wanted, *, whole: bool) -> Iterator[Record]:
    left = sys.maxsize if whole else wanted.limit
    while left > 0:
        limit = min(left, ROWS_AT_A_TIME)
        wanted = replace(wanted, limit=limit, counted=limit == left)
        with transaction() as session:
            found = read(session, wanted)
        yield from found
        if found.after is None:
            return
        left -= len(found)
        wanted = replace(wanted, after=found.after)
    _say_how_to_go_on(found)


def _print_for_machine(records: Iterable[Record], view: View, columns: Columns) -> None:
    if view.as_json:
        print_json_list(records)
        return
    names = columns.names(wide=True)
    write = _csv_line if view.as_csv else _tsv_line
    rows = iter(records)
    first = next(rows, None)  # before the header line: an error stands alone
    write(names)
    for record in chain([] if first is None else [first], rows):
        if record.keys() != set(names):
            raise TypeError(f"columns are not the fields: {record.keys() ^ set(names)}")
        write([for_machine(record[name]) for name in names])
    sys.stdout.flush()


def _csv_line(cells: Sequence[str]) -> None:
    csv.writer(_Echo(), lineterminator="\n").writerow(cells)


class _Echo:
    """A file for `csv` that writes to the stdout of now."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)


_TSV_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _tsv_line(cells: Sequence[str]) -> None:
    """Print cells divided by tabs; tabs, line breaks and backslashes as PostgreSQL's COPY."""
    sys.stdout.write("\t".join(plain(cell.translate(_TSV_ESCAPES)) for cell in cells) + "\n")


def _print_table(
    records: Sequence[Record], groups: Sequence[Sequence[str]], zone: ZoneInfo
) -> None:
    terminal = console()
    columns = [[_column(name, records, zone) for name in group] for group in groups]
    _print_lines(terminal, lay_out(columns, width=terminal.width))


def _column(name: str, records: Sequence[Record], zone: ZoneInfo) -> Column:
    values = [record[name] for record in records]
    unit = ""
    if any(hasattr(value, "tzinfo") for value in values):
        unit = zone.key
    elif any(is_credits(name, value) for value in values):
        unit = _unit_of_credits(name)
    return Column(
        title=_title(name),
        unit=unit,
        cells=[
            for_person(name, value, zone=zone, record=record)
            for value, record in zip(values, records, strict=True)
        ],
        right=any(is_number(name, value) for value in values),
        folds=name in TEXTS,
    )


def _title(name: str) -> str:
    return name.removesuffix("_paise").replace("_", " ")


def _with_unit(name: str, record: Record, zone: ZoneInfo) -> str:
    value = record[name]
    text = for_person(name, value, zone=zone, record=record)
    if hasattr(value, "tzinfo"):
        return with_unit(text, zone.key)
    # A name that has the unit in it needs no other.
    return with_unit(text, _unit_of_credits(name)) if is_credits(name, value) else text


def _unit_of_credits(name: str) -> str:
    return "" if "credits" in name else "credits"


def _print_lines(terminal: Console, lines: Iterable[Text]) -> None:
    for line in lines:
        # soft_wrap: a line that is longer than the terminal is wide is not cut.
        terminal.print(line, soft_wrap=True)


def zone_of(account: str | None) -> ZoneInfo:
    """Return the zone of an account; BILLING_TIMEZONE if it is None or unknown."""
    if not account:
        return settings.get().zone
    with transaction() as session:
        found = accounts.find(session, account)
        return ZoneInfo(found.timezone) if found is not None else settings.get().zone


def _zone_of_record(record: Record) -> ZoneInfo:
    account = record.get("account")
    return zone_of(account if isinstance(account, str) else None)


def _say_how_to_go_on(found: Page[Any]) -> None:
    if not found.more:
        return
    context = click.get_current_context()
    typed = _without_position(context.find_root().meta.get(ARGUMENTS, []))
    command = shlex.join(["billing", *typed, "--after", str(found.after)])
    number = f"more than {COUNTED:,}" if found.more > COUNTED else f"{found.more:,}"
    click.echo(f"{number} more: {command}", err=True)


def _without_position(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--after":
            skip = True
        elif not argument.startswith("--after="):
            kept.append(argument)
    return kept
