"""`billing import accounts FILE.csv`: open the accounts that a platform already has."""

import csv
import io
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import track

from billing.accounts import opening_balances
from billing.accounts.opening_balances import Opened, OpeningLine
from cli.options import View, actor_option, confirm, record_options, yes_option
from cli.output import Columns, print_json, print_record, print_records, print_sections
from db.errors import DatabaseBusy
from db.session import transaction

CHUNK = 200
ATTEMPTS = 5
"""How often a chunk is tried if the database is busy."""
PAUSE_SECONDS = 0.2
REQUIRED = ("ref", "name", "product")
OPTIONAL = ("timezone", "balance", "overdraft_limit", "low_balance")


@click.group(name="import")
def import_() -> None:
    """Import what a platform already has.

    \b
    Example:
      billing import accounts clinics.csv --actor ops --dry-run
    """


@dataclass(slots=True)
class _Report:
    lines: int = 0
    created: int = 0
    already_there: int = 0
    credits: int = 0
    unfinished: int = 0
    """Lines without a result: not zero only if an error ended the import."""
    refused: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, number: int, ref: str, reason: str) -> None:
        self.refused.append({"line": number, "ref": ref, "reason": reason})

    def add(self, opened: Opened) -> None:
        self.unfinished -= 1
        if opened.error is not None:
            self.refuse(opened.line.number, opened.line.ref, str(opened.error))
        elif opened.created:
            self.created += 1
        else:
            self.already_there += 1
        self.credits += opened.credits


class _DryRun(Exception):
    """Rolls back the transaction of a dry run."""


@import_.command()
@click.argument("file", type=click.File("rb"))
@actor_option
@click.option("--dry-run", is_flag=True, help="Check every line and change nothing.")
@yes_option
@record_options
def accounts(file: BinaryIO, actor: str, *, dry_run: bool, yes: bool, view: View) -> None:
    """Open the accounts of the CSV file FILE.

    FILE has a header line. Columns: ref, name, product; optional: timezone, balance,
    overdraft_limit, low_balance (in whole credits). A balance is posted as the opening balance.
    A file may be imported again: existing accounts stay as they are, and a line that differs from
    its account is refused. Refused lines are listed with the reason, and the exit code is 1; the
    other lines are imported. If an error ends the import, the report says what was imported until
    then and how many lines are unfinished.
    """
    report = _Report()
    lines = list(_read(file, report))
    report.unfinished = len(lines)
    if lines and not dry_run:
        credits_ = sum(line.balance for line in lines)
        confirm(f"Open {len(lines):,} accounts with {credits_:,} credits in all?", yes=yes)
    try:
        _import(lines, actor, report, dry_run=dry_run, progress=not view.as_json)
    finally:
        # Whatever ended it: report what is committed.
        report.refused.sort(key=lambda refused: refused["line"])
        _print(report, dry_run=dry_run, view=view)
    if report.refused:
        sys.exit(1)


def _import(
    lines: Sequence[OpeningLine], actor: str, report: _Report, *, dry_run: bool, progress: bool
) -> None:
    chunks = [lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK)]
    for chunk in track(
        chunks,
        "importing",
        console=Console(stderr=True),
        transient=True,
        disable=not (progress and sys.stderr.isatty()),
    ):
        for opened in _open_patiently(chunk, actor, dry_run=dry_run):
            report.add(opened)


def _open_patiently(lines: Sequence[OpeningLine], actor: str, *, dry_run: bool) -> list[Opened]:
    for attempt in range(1, ATTEMPTS):
        try:
            return _open(lines, actor, dry_run=dry_run)
        except DatabaseBusy:
            time.sleep(PAUSE_SECONDS * attempt)
    return _open(lines, actor, dry_run=dry_run)


def _open(lines: Sequence[OpeningLine], actor: str, *, dry_run: bool) -> list[Opened]:
    opened: list[Opened] = []
    try:
        with transaction() as session:
            opened = opening_balances.open_accounts(session, lines, actor=actor)
            if dry_run:
                raise _DryRun
    except _DryRun:
        pass
    return opened


def _read(file: BinaryIO, report: _Report) -> Iterator[OpeningLine]:
    """Yield the lines that can be read; add the others to the report."""
    reader = csv.DictReader(io.StringIO(_decoded(file), newline=None), strict=True)
    seen: dict[str, int] = {}
    try:
        _check_header(reader.fieldnames or ())
        for row in reader:
            report.lines += 1
            number, ref = reader.line_num, (row.get("ref") or "").strip()
            if ref and ref in seen:
                report.refuse(number, ref, f"has the same ref as line {seen[ref]}")
                continue
            seen[ref] = number
            try:
                yield _line(row, number)
            except ValueError as error:
                report.refuse(number, ref, str(error))
    except csv.Error as error:
        raise click.ClickException(
            f"{file.name}: line {reader.line_num + 1} is not CSV: {error}"
        ) from error


def _decoded(file: BinaryIO) -> str:
    # All at once: a stream decodes far ahead of the line that is read.
    try:
        return file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((error.object[: error.start] + b"?").splitlines())
        raise click.ClickException(
            f"{file.name}: line {line} is not UTF-8 (byte 0x{error.object[error.start]:02x}):"
            " save the file as CSV in UTF-8"
        ) from error


def _check_header(names: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    unknown = [name for name in names if name not in {*REQUIRED, *OPTIONAL}]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if missing:
        raise click.ClickException(f"the header line has no column {', '.join(missing)}")
    if unknown:
        raise click.ClickException(
            f"unknown column {', '.join(map(repr, unknown))}: the columns are"
            f" {', '.join((*REQUIRED, *OPTIONAL))}"
        )
    if repeated:
        raise click.ClickException(
            f"the header line has the column {', '.join(repeated)} more than once"
        )


def _line(row: dict[Any, Any], number: int) -> OpeningLine:
    if None in row or None in row.values():
        raise ValueError("has more or fewer fields than the header line")
    values = {name: value.strip() for name, value in row.items()}
    if not values["ref"]:
        raise ValueError("ref is missing")
    return OpeningLine(
        number=number,
        ref=values["ref"],
        name=values["name"],
        product=values["product"],
        timezone=values.get("timezone") or None,
        balance=_credits(values, "balance") or 0,
        overdraft_limit=_credits(values, "overdraft_limit"),
        low_balance=_credits(values, "low_balance"),
    )


def _credits(values: dict[str, str], column: str) -> int | None:
    value = values.get(column, "")
    if not value:
        return None
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise ValueError(f"{column} must be a whole number of credits, not {value!r}")
    return int(value)


def _print(report: _Report, *, dry_run: bool, view: View) -> None:
    summary = {
        "dry_run": dry_run,
        "lines": report.lines,
        "created": report.created,
        "already_there": report.already_there,
        "credits": report.credits,
        "unfinished": report.unfinished,
    }
    if view.as_json:
        print_json({**summary, "refused": report.refused})
        return
    counted = {**summary, "refused": len(report.refused)}
    sections = [("", lambda: print_record(counted, view))]
    if report.refused:
        columns = Columns("line ref reason")
        sections.append(
            ("", lambda: print_records(report.refused, view, columns=columns, empty=""))
        )
    print_sections(sections)
