"""The `console` blocks of the quickstart and the how-to pages do what they say, on a real stack."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.matching import Ids, differs
from tests.docs.shell import Shell, commands_of, only_reads
from tests.stack_process import StackProcess, throw_away_folder

PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def stack() -> Iterator[StackProcess]:
    with throw_away_folder() as folder, StackProcess(folder) as running:
        yield running


@pytest.fixture(scope="module")
def path(stack: StackProcess) -> Iterator[Path]:
    with commands_of(stack) as folder:
        yield folder


@pytest.mark.acceptance
@pytest.mark.parametrize("page", pages.pages_with_examples(), ids=lambda page: page.stem)
def test_the_page_shows_what_its_commands_print(
    page: Path, stack: StackProcess, path: Path
) -> None:
    ids = Ids()
    with Shell(stack, path) as shell:
        for example in pages.examples(page):
            command = ids.command(example.command)
            output = shell.run(command)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while differs(example.expected, output, ids):
                assert only_reads(command), report(page, example, output)
                assert time.monotonic() < deadline, report(page, example, output)
                time.sleep(0.2)
                output = shell.run(command)


def report(page: Path, example: pages.Example, output: str) -> str:
    """What a person needs to mend the page."""
    return (
        f"{page.relative_to(pages.ROOT)}, line {example.line}:\n$ {example.command}\n"
        f"the page shows\n{example.expected}\nthe command prints\n{output}\n"
        "`python -m tests.docs.record PAGE` writes it into the page"
    )
