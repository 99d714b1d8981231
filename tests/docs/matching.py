"""How the output that a page shows is compared with the output of a run.

A page was written on one run and is checked on another. So these parts may differ, and no others:

- Ids: `order_...`, `pay_...`, `req_...`, `ntc_...` and the like, UUIDs, hexadecimal digits (16 or
  more), API keys, and whole numbers where an id stands: the JSON fields `id` and `*_id`, the
  columns and rows of tables whose title ends in `id`, `dispute 17`. The first id of a page is bound
  to the id of the run in its place; from then on the two must stand for each other, and a later
  command of the page gets the id of the run.
- Times, days, months, durations in seconds, the days left of a year, how
  many seconds a run took, and `cli:NAME`, the user who
  runs the command.
- The numbers of rows in a list that mixes tables (`billing requests show`).
- How many accounts and transactions the whole ledger has (`3 accounts`): other pages add to it.
- The width of a table, its units (the zone), and the line breaks and spaces of a JSON document.
- The addresses of the stack: 8000, 8001, 5555 and 8009 stand for its ports, `.data` for its folder.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_IDS = re.compile(
    r"(?P<gateway>\b(?:order|pay|rfnd|disp|evt|msg|cs_test|pi|re|req|ch|du)_[A-Za-z0-9]{8,}\b)"
    r"|(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
    r"|(?P<hex>\b[0-9a-f]{16,128}\b)"
    r"|(?P<key>\bbk_[A-Za-z0-9_-]{20,})"
    r"|(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: UTC|Z|[+-]\d\d:\d\d)?)"
    r"|(?P<day>\b\d{4}-\d\d-\d\d\b)"
    r"|(?P<month>\b\d{4}-\d\d\b)"
    r"|(?P<seconds>\b\d+(?:\.\d+)? s\b)"
    r"|(?P<user>\bcli:[\w.@+$?-]+)"
    r"|(?P<total>\b\d[\d,]*(?= (?:accounts?|transactions?|rows?)\b))"
    r"|(?P<dispute>(?<=dispute )\d+|(?<=dispute:)\d+|(?<=Dispute )\d+)"
    r"|(?P<hold>(?<=hold )\d+)"
    r"|(?P<notice>\bntc_\d+\b)"
    r"|(?P<listed>(?<=\[)\d+(?=\]))"
)
_MIXED = "at / table"
"""The first title of what `billing requests show` prints of a request's rows."""
_NOT_BOUND = {"time", "day", "month", "seconds", "user", "total"}
_VARIES = {
    "seconds", "days left", "days_left", "offset seconds", "ahead", "duration ms", "duration_ms",
}  # fmt: skip
_ID_TITLE = re.compile(r"(^|[ _])ids?$|^(hold|dispute|transaction|replayed)$")

Parts = list[tuple[str, str]]


class Ids:
    """Which id of a page stands for which id of the run."""

    def __init__(self) -> None:
        self._of_run: dict[tuple[str, str], str] = {}
        self._of_page: dict[tuple[str, str], str] = {}

    def fit(self, written: Parts, seen: Parts) -> bool:
        """Bind the new ids; return whether those that are bound stand for each other."""
        pairs = [
            (kind, page, run)
            for (kind, page), (_, run) in zip(written, seen, strict=True)
            if kind not in _NOT_BOUND
        ]
        for kind, page, run in pairs:
            if self._of_run.get((kind, page), run) != run:
                return False
            if self._of_page.get((kind, run), page) != page:
                return False
        for kind, page, run in pairs:
            self._of_run[kind, page] = run
            self._of_page[kind, run] = page
        return True

    def page(self, output: str) -> str:
        """Return an output with the ids of the page."""
        for (_, run), page in self._of_page.items():
            output = re.sub(rf"(?<![\w.,-]){re.escape(run)}(?![\w.-]|[,:]\d)", page, output)
        return output

    def command(self, text: str) -> str:
        """Return a command of the page with the ids of the run."""
        for (kind, page), run in sorted(self._of_run.items(), key=lambda item: -len(item[0][1])):
            if kind.startswith("number"):
                # A word of its own that is no option's value, a part of a path, or a JSON value.
                alone = rf"(?<![-\w.])(?<!--\w )(?<=[ /]){page}(?=[\s/?'\"]|$)"
                text = _outside_of_options(alone, run, text)
            else:
                text = re.sub(rf"(?<!\w){re.escape(page)}(?!\w)", run, text)
        return text


def differs(written: str, seen: str, ids: Ids) -> bool:
    """Return whether a page shows something else than a run printed; bind new ids if not."""
    page_text, page_parts = _taken_apart(written)
    run_text, run_parts = _taken_apart(seen)
    same = page_text == run_text and [k for k, _ in page_parts] == [k for k, _ in run_parts]
    return not (same and ids.fit(page_parts, run_parts))


def alike(written: str, seen: str, ids: Ids) -> bool:
    """Bind the ids of two texts that differ, if both have the same kinds of ids in one order.

    Of two JSON objects, the fields count that both have.
    """
    written, seen = _shared_fields(written, seen)
    page_parts, run_parts = _taken_apart(written)[1], _taken_apart(seen)[1]
    if [kind for kind, _ in page_parts] != [kind for kind, _ in run_parts]:
        return False
    return ids.fit(page_parts, run_parts)


def _shared_fields(written: str, seen: str) -> tuple[str, str]:
    try:
        page, run = json.loads(written), json.loads(seen)
    except ValueError:
        return written, seen
    if not (isinstance(page, dict) and isinstance(run, dict)):
        return written, seen
    names = [name for name in page if name in run]
    return (
        json.dumps({name: page[name] for name in names}, ensure_ascii=False),
        json.dumps({name: run[name] for name in names}, ensure_ascii=False),
    )


def _outside_of_options(pattern: str, value: str, text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        is_value = re.search(r"--[\w-]+[ =]$", text[: found.start()])
        return found[0] if is_value else value

    return re.sub(pattern, replaced, text)


def _taken_apart(text: str) -> tuple[str, Parts]:
    """Return a text with its changing parts replaced by their kind, and those parts."""
    parts: Parts = []
    try:
        document = json.loads(text)
    except ValueError:
        return "\n".join(_lines(text, parts)), parts
    return json.dumps(_document(document, parts), ensure_ascii=False), parts


def _document(value: Any, parts: Parts, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _document(inner, parts, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_document(inner, parts, name) for inner in value]
    if name in _VARIES:
        return "<varies>"
    digits = str(value).isdigit()
    if digits and isinstance(value, int | str) and _ID_TITLE.search(name):
        return _number(str(value), name, parts)
    if isinstance(value, int) and name.endswith(("_at", "_by")):
        return "<time>"
    return _plain(value, parts) if isinstance(value, str) else value


def fields_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of each cell of the tables and of each field line of an output."""
    for line in _rows(text):
        if isinstance(line, list):
            yield from line


def _lines(text: str, parts: Parts) -> list[str]:
    return [
        " | ".join(_cell(cell, name, parts) for name, cell in _without_mixed_ids(line))
        if isinstance(line, list)
        else _plain(line, parts)
        for line in _rows(text)
    ]


def _without_mixed_ids(line: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Blank the numbers of a table that shows rows of many tables: two may have the same."""
    if _MIXED not in dict(line):
        return line
    blanked = {"id": r"^\d+$", "detail / command": r"(?<=^billing inbox show )\d+$"}
    return [
        (name, re.sub(blanked[name], "<number>", cell) if name in blanked else cell)
        for name, cell in line
    ]


_RULE = re.compile("─+(?: +─+)*")
_UNITS = re.compile(r"(?:credits|UTC|[A-Z]\w+/\w+| )+")
_BELOW = re.compile(r"(?:more than )?[\d,]+ more: |Error: |WARNING: ")
_FIELD = re.compile(r"(?![0-9a-f]{16})([a-z][a-z0-9]*(?: [a-z0-9]+)*) {2,}(\S.*)")


def _rows(text: str) -> Iterator[str | list[tuple[str, str]]]:
    """Yield lines; those of tables and of fields as (name, value), the titles as a line."""
    lines = text.splitlines()
    rules = {number for number, line in enumerate(lines) if _RULE.fullmatch(line)}
    units = {rule - 1 for rule in rules if _UNITS.fullmatch(lines[rule - 1])}
    spans: list[tuple[int, int | None]] = []
    names: list[str] = []
    for number, line in enumerate(lines):
        if number in rules:
            starts = [found.start() for found in re.finditer("─+", line)]
            spans = list(zip(starts, [*starts[1:], None], strict=True))
            titles = lines[number - 1 - (number - 1 in units)]
            names = [titles[start:end].strip() for start, end in spans]
            yield " | ".join(names)
        elif not line.strip() or _BELOW.match(line):
            spans = []
            yield line.rstrip()
        elif spans:
            yield [
                (name, line[start:end].strip())
                for name, (start, end) in zip(names, spans, strict=True)
            ]
        elif {number, number + 1} & (rules | units):
            continue  # the titles and units of a table, whose widths may differ
        elif field := _FIELD.fullmatch(line.rstrip()):
            yield [(field[1], field[1]), (field[1], field[2])]
        else:
            yield line.rstrip()


def _cell(text: str, title: str, parts: Parts) -> str:
    if title in _VARIES:
        return "<varies>"
    number = text.replace(",", "")
    if number.isdigit() and _ID_TITLE.search(title):
        return _number(number, title, parts)
    return _plain(text, parts)


def _number(digits: str, title: str, parts: Parts) -> str:
    # Numbers of holds and of disputes both begin at 1.
    parts.append((f"number: {title.replace('_', ' ')}", digits))
    return "<number>"


def _plain(text: str, parts: Parts) -> str:
    def taken(found: re.Match[str]) -> str:
        kind = str(found.lastgroup)
        if kind in ("dispute", "hold", "listed"):
            return _number(found[0], "id" if kind == "listed" else f"{kind} id", parts)
        parts.append((kind, found[0]))
        return f"<{kind}>"

    return _IDS.sub(taken, text)
