"""The pages of the documentation: which there are, their examples, titles, links and paths."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import settings

ROOT = settings.PROJECT_DIR
DOCS = ROOT / "docs"
FAILED = re.compile(
    r"^Traceback \(most recent call last\)|\b(?:ModuleNotFound|Import|Syntax|Name)Error: "
    r"|No module named |: (?:command )?not found$|No such file or directory|^no end within ",
    re.M,
)
"""What a command prints that did not run as its page means it."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@dataclass
class Example:
    """A command of a `console` block, and what the page says it prints."""

    line: int
    command: str
    output: list[str] = field(default_factory=list)

    @property
    def expected(self) -> str:
        """The output as one text, without blank lines around it."""
        return "\n".join(self.output).strip("\n")


def pages() -> list[Path]:
    """Return every page that a person reads."""
    beside = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return sorted(DOCS.rglob("*.md")) + beside + sorted(ROOT.glob("examples/*/README.md"))


def pages_with_examples() -> list[Path]:
    """Return the pages whose `console` blocks are run: the quickstart and the how-to pages."""
    found = [DOCS / "quickstart.md", *sorted((DOCS / "how-to").glob("*.md"))]
    return [page for page in found if examples(page)]


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """Yield (number of its first line, text) of each fenced block in a language."""
    text = page.read_text()
    for block in FENCE.finditer(text):
        if block[1] == language:
            yield text.count("\n", 0, block.start()) + 2, block[2]


def examples(page: Path) -> list[Example]:
    """Return the commands of a page's `console` blocks in their order, with their outputs."""
    found: list[Example] = []
    for first, block in blocks(page, "console"):
        for line, text in enumerate(block.splitlines(), start=first):
            if text.startswith("$ "):
                found.append(Example(line, text[2:]))
            elif (text == ">" or text.startswith("> ")) and not found[-1].output:
                found[-1].command += "\n" + text[2:]
            else:
                found[-1].output.append(text)
    return found


def without_blocks(page: Path) -> str:
    """Return a page's text with its fenced blocks emptied, lines kept."""
    return FENCE.sub(lambda block: "\n" * block[0].count("\n"), page.read_text())
