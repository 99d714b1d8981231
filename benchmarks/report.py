"""What a measurement hands back, and how people and programs read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

Cell = str | int | float | None


class WrongOutcome(Exception):
    """What was measured did the wrong thing; its speed means nothing. The message says what."""


@dataclass(frozen=True)
class Report:
    """One table of figures; `note` says what they are held against."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return the table for `--json`: one object a row, in the columns' names."""
        keys = [column.replace(" /s", " per second").replace(" ", "_") for column in self.columns]
        return {
            "title": self.title,
            "rows": [dict(zip(keys, row, strict=True)) for row in self.rows],
            "note": self.note,
        }


def show(report: Report, console: Console) -> None:
    """Print the table; numbers to the right."""
    table = Table(title=report.title, title_justify="left", title_style="bold")
    for position, column in enumerate(report.columns):
        is_number = any(isinstance(row[position], int | float) for row in report.rows)
        table.add_column(column, justify="right" if is_number else "left")
    for row in report.rows:
        table.add_row(*map(_text, row))
    console.print(table)
    if report.note:
        console.print(report.note, style="dim")
    console.print()


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.2f}" if cell < 100 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else cell
