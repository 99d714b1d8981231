"""Write what the examples print into the pages: `python -m tests.docs.record [PAGE...]`.

For whoever has changed a text or a page: write the commands, run this, read the difference. An
output that still fits stays as it is. In a new command, `<order_id>` becomes the newest value of
that field in the outputs before it.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import settings
from tests.docs.matching import Ids, alike, differs, fields_of
from tests.docs.pages import FAILED, Example, examples, pages_with_examples
from tests.docs.shell import Shell, commands_of, only_reads, settle
from tests.stack_process import StackProcess, throw_away_folder

WIDTH = 98
_FIELD = re.compile(r"<([a-z_]+)>")


def main(names: list[str]) -> None:
    """Run the examples of the named pages, by default of all, and write their outputs."""
    settings.get.cache_clear()
    pages = [Path(name).resolve() for name in names] or pages_with_examples()
    with (
        throw_away_folder() as folder,
        StackProcess(folder) as stack,
        commands_of(stack) as path,
    ):
        for page in pages:
            with Shell(stack, path) as shell:
                changed = record(page, shell)
            sys.stdout.write(f"{page.name}: {changed} changed\n")
            sys.stdout.flush()


def record(page: Path, shell: Shell) -> int:
    """Run one page; return how many outputs were written anew."""
    ids, seen, lines = Ids(), "", page.read_text().split("\n")
    changed: list[tuple[Example, list[str]]] = []
    for example in examples(page):
        command = _with_fields(example.command, seen)
        if _FIELD.search(command):
            sys.stdout.write(f"{page.name}:{example.line}: nothing printed before has that field\n")
            continue
        if only_reads(command):
            settle()
        output = shell.run(ids.command(command))
        if FAILED.search(output):
            sys.stdout.write(f"{page.name}:{example.line}: not recorded, it failed:\n{output}\n")
            continue
        text = example.expected
        if differs(text, output, ids):
            alike(example.expected, output, ids)
            text = ids.page(_readable(output))
            differs(text, output, ids)
        seen += "\n" + text
        if (command, text) != (example.command, example.expected):
            shown = ["$ " + command.replace("\n", "\n> "), *([text] if text else [])]
            changed.append((example, shown))
    for example, shown in reversed(changed):
        first = example.line - 1
        height = example.command.count("\n") + 1 + len(example.output)
        lines[first : first + height] = shown
    page.write_text("\n".join(lines))
    return len(changed)


def _with_fields(command: str, seen: str) -> str:
    return _FIELD.sub(lambda name: _last(name[1], seen), command)


def _last(name: str, seen: str) -> str:
    """Return the newest value of a field, from a JSON answer or a table."""
    title = name.replace("_", " ")
    in_json = [(at.start(), at[1]) for at in re.finditer(rf'"{name}": "?([^",}}\s]+)', seen)]
    printed = [(seen.rfind(value), value) for field, value in fields_of(seen) if field == title]
    found = max([pair for pair in in_json + printed if pair[1] != title], default=None)
    return found[1] if found else f"<{name}>"


def _readable(output: str) -> str:
    try:
        document = json.loads(output)
    except ValueError:
        return "\n".join(line.rstrip() for line in output.split("\n"))
    return _json(document, "")


def _json(value: Any, indent: str) -> str:
    """Return a document as text that fills the lines."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= WIDTH or not isinstance(value, (dict, list)):
        return flat
    inner = indent + " "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_json(item, inner)}" for key, item in value.items()]
        brackets = "{}"
    else:
        items, brackets = [_json(item, inner) for item in value], "[]"
    lines = [brackets[0] + items[0]]
    for item in items[1:]:
        fits = "\n" not in lines[-1] + item and len(indent + lines[-1]) + len(item) < WIDTH - 2
        if fits:
            lines[-1] += ", " + item
        else:
            lines[-1] += ","
            lines.append(inner + item)
    return "\n".join(lines) + brackets[1]


if __name__ == "__main__":
    main(sys.argv[1:])
