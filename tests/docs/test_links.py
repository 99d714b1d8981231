"""Every link between the pages leads somewhere, and every path that they name is in the tree."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs import pages

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`([\w./-]+?(?:\.(?:py|md|toml|lock)|/))(?:::(\w+))?`")
NAME = re.compile(r"\b[\w/]+/[\w/]+\.(?:py|md)\b")
PAGES = [pytest.param(page, id=str(page.relative_to(pages.ROOT))) for page in pages.pages()]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's titles, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", pages.without_blocks(page), re.M)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_a_page_and_a_title(page: Path) -> None:
    broken = []
    for link in LINK.findall(pages.without_blocks(page)):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = pages.DOCS / "README.md"
    linked = {
        (pages.DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())
    }
    shelves = [
        page
        for page in pages.DOCS.rglob("*.md")
        if page != index and page.parent.name != "decisions"
    ]
    assert [str(page) for page in shelves if page.resolve() not in linked] == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_are_in_the_tree(page: Path) -> None:
    missing = []
    for path, name in PATH.findall(pages.without_blocks(page)):
        if path in {".data/", "dist/"}:
            continue  # made by `make run` and `make client`
        if "/" not in path and not path.endswith((".py", ".toml")):
            continue
        if not (pages.ROOT / path).exists() and not (page.parent / path).exists():
            missing.append(path)
        elif name and not _defines(pages.ROOT / path, name):
            missing.append(f"{path}::{name}")
    for _, block in pages.blocks(page, "text"):
        missing += [path for path in NAME.findall(block) if not (pages.ROOT / path).exists()]
    assert missing == []


def _defines(module: Path, name: str) -> bool:
    for node in ast.parse(module.read_text()).body:
        match node:
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found) if found == name:
                return True
            case ast.Assign(targets=targets) if name in {ast.unparse(target) for target in targets}:
                return True
            case ast.AnnAssign(target=ast.Name(id=found)) if found == name:
                return True
    return False
