"""The layout of records on a terminal: columns if they fit, else one field a line.

Ids, times and amounts are never folded or cut: whoever copies one gets all of it. A sentence is
folded between words, down to `NARROWEST` letters. If a table is still too wide for the terminal,
columns that may share one do so, one value under the other. If that is not enough, each record
becomes a block of lines, as in `psql` with `\\x auto`.

Not rich's own tables: they cut a word that is longer than its column.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

NARROWEST = 16
"""How narrow a column of sentences may become before the table gives way to blocks."""
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column with its title, its unit (empty: none) and its cells as printed."""

    title: str
    unit: str
    cells: Sequence[str]
    right: bool = False
    folds: bool = False

    @property
    def width(self) -> int:
        """Return the width of its widest line."""
        texts = (self.title, self.unit, *self.cells)
        return max(cell_len(line) for text in texts for line in text.split("\n"))


def lay_out(groups: Sequence[Sequence[Column]], *, width: int) -> Iterator[Text]:
    """Yield the lines of a table, or of one block a record if it is wider than `width`.

    The columns of a group may share one.
    """
    columns = [column for group in groups for column in group]
    for shown in (columns, [_shared(group) for group in groups]):
        widths = _fitted(shown, width)
        if widths is not None:
            yield from _table(shown, widths)
            return
    yield from _blocks(columns, width)


def field_lines(pairs: Sequence[tuple[str, str]], *, width: int) -> Iterator[Text]:
    """Yield one field a line: its title, and its value folded between words.

    A word that does not fit beside the titles gets a line of its own.
    """
    titles = max((cell_len(title) for title, _ in pairs), default=0)
    room = max(width - titles - len(_GAP), NARROWEST)
    for title, value in pairs:
        parts = _folded(value, room)
        if max(map(cell_len, parts)) > room:
            yield Text(title, style="bold")
            yield from (Text(_GAP + part) for part in _folded(value, width - len(_GAP)))
            continue
        for number, part in enumerate(parts):
            head = Text(_padded(title if number == 0 else "", titles), style="bold")
            line = Text.assemble(head, _GAP, part)
            line.rstrip()
            yield line


def _shared(group: Sequence[Column]) -> Column:
    """Return one column for a group: each cell has the values under each other, without gaps."""
    if len(group) == 1:
        return group[0]
    cells = zip(*(column.cells for column in group), strict=True)
    return Column(
        title=" / ".join(column.title for column in group),
        unit=" / ".join(column.unit for column in group if column.unit),
        cells=["\n".join([first, *(one for one in rest if one != "-")]) for first, *rest in cells],
        folds=any(column.folds for column in group),
    )


def _fitted(columns: Sequence[Column], width: int) -> list[int] | None:
    """Return the width of each column, or None if they do not fit side by side."""
    widths = [column.width for column in columns]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    for index in sorted(range(len(widths)), key=lambda index: -widths[index]):
        if over > 0 and columns[index].folds:
            taken = max(0, min(over, widths[index] - _least(columns[index])))
            widths[index] -= taken
            over -= taken
    return widths if over <= 0 else None


def _least(column: Column) -> int:
    words = (cell_len(word) for cell in column.cells for word in cell.split())
    return max(NARROWEST, cell_len(column.title), max(words, default=0))


def _table(columns: Sequence[Column], widths: Sequence[int]) -> Iterator[Text]:
    rights = [column.right for column in columns]
    yield _line([column.title for column in columns], widths, rights, style="bold")
    if any(column.unit for column in columns):
        yield _line([column.unit for column in columns], widths, rights)
    yield _line(["─" * width for width in widths], widths, rights)
    for cells in zip(*(column.cells for column in columns), strict=True):
        folded = [_folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
        for parts in zip_longest(*folded, fillvalue=""):
            yield _line(parts, widths, rights)


def _line(
    cells: Iterable[str], widths: Sequence[int], rights: Sequence[bool], *, style: str = ""
) -> Text:
    padded = [
        _padded(cell, width, right=right)
        for cell, width, right in zip(cells, widths, rights, strict=True)
    ]
    # Text, not str: rich would interpret [tags] and :emoji: in what customers and senders wrote.
    return Text(_GAP.join(padded).rstrip(), style=style)


def _blocks(columns: Sequence[Column], width: int) -> Iterator[Text]:
    for number in range(len(columns[0].cells)):
        if number:
            yield Text("")
        cells = ((column, column.cells[number]) for column in columns)
        pairs = [(column.title, with_unit(cell, column.unit)) for column, cell in cells]
        yield from field_lines(pairs, width=width)


def with_unit(value: str, unit: str) -> str:
    """Return a value with its unit behind it; nothing has no unit."""
    return value if not unit or value == "-" else f"{value} {unit}"


def _padded(cell: str, width: int, *, right: bool = False) -> str:
    blanks = " " * (width - cell_len(cell))
    return blanks + cell if right else cell + blanks


def _folded(value: str, room: int) -> list[str]:
    """Return the lines of a text, broken between words; a word that is too long stays whole."""
    lines: list[str] = []
    for paragraph in value.split("\n"):
        line: str | None = None
        for word in paragraph.split(" "):
            if line is not None and cell_len(f"{line} {word}") > room:
                lines.append(line)
                line = word
            else:
                line = word if line is None else f"{line} {word}"
        lines.append(line or "")
    return lines
