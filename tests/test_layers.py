"""Rules of the layout that the import-linter contracts do not hold; see `make check` for those."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings

ROOT = settings.PROJECT_DIR
PRODUCT = [
    "api", "billing", "cli", "clock", "db", "gateways", "notify", "service", "settings", "tasks",
    "web", "webhook_receiver", "worker",
]  # fmt: skip
BESIDE_THE_PRODUCT = {"devstack", "tests", "benchmarks", "billing_client"}
SINGLE_MODULES = {"celeryconfig", "errors"}
OURS = {*PRODUCT, *BESIDE_THE_PRODUCT, *SINGLE_MODULES}

# PostgreSQL's ways to ask for the time, in SQL or through SQLAlchemy's `func`.
ASKS_FOR_THE_TIME = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\(\s*\)"
    r"|\b(current_timestamp|current_date|current_time|localtimestamp|localtime)\b",
    re.IGNORECASE,
)


def files_of(package: str) -> list[Path]:
    """The Python files of a package, or of a single module."""
    single = ROOT / f"{package}.py"
    return [single] if single.exists() else sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """The first part of each absolute import, wherever in the file it stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_packages_named_here_are_the_packages_there_are() -> None:
    there = {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")}
    assert there <= OURS
    assert set(PRODUCT) <= there
    assert {path.stem for path in ROOT.glob("*.py")} == SINGLE_MODULES


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        *((f"settings/{path.stem}", {"settings"}) for path in (ROOT / "settings").glob("*.py")),
        ("errors", set()),
        ("celeryconfig", {"service", "settings"}),
        ("clock/__init__", set()),
        ("clock/development", {"clock", "settings", "errors"}),
    ],
)
def test_single_modules_stand_below_everything(module: str, allowed: set[str]) -> None:
    assert imports_of(ROOT / f"{module}.py") & OURS <= allowed


AREAS = sorted(path.parent for path in (ROOT / "billing").glob("*/__init__.py"))


@pytest.mark.parametrize("area", AREAS, ids=[area.name for area in AREAS])
def test_a_module_of_an_area_is_handed_on_or_protected(area: Path) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    protected = {
        module
        for contract in contracts["contracts"]
        if contract["type"] == "protected"
        for module in contract["protected_modules"]
    }
    handed_on = importlib.import_module(f"billing.{area.name}").__all__
    for path in area.glob("*.py"):
        if path.stem in {"__init__", "errors"}:  # errors are handed on one by one
            continue
        is_protected = f"billing.{area.name}.{path.stem}" in protected
        assert is_protected != (path.stem in handed_on), path


_COMPARES_CLOCKS = ROOT / "cli" / "examinations" / "database.py"


@pytest.mark.parametrize("package", PRODUCT)
def test_only_the_clock_reads_the_time_and_sql_never_asks_for_it(package: str) -> None:
    for path in files_of(package):
        if "migrations" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        for line, text in _texts_beside_docstrings(tree):
            if path == _COMPARES_CLOCKS:
                continue  # `billing doctor` compares PostgreSQL's clock with this computer's
            if text == "localtime":
                continue  # alone it is the name of a zone, which is refused
            assert not ASKS_FOR_THE_TIME.search(text), f"{path}:{line}: {text.strip()}"
        for line, name in _sqlalchemy_functions(tree):
            assert not ASKS_FOR_THE_TIME.search(f"{name}()"), f"{path}:{line}: func.{name}"


@pytest.mark.parametrize("package", [package for package in PRODUCT if package != "db"])
def test_only_the_transaction_commits(package: str) -> None:
    for path in files_of(package):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"commit", "rollback"}, f"{path}:{node.lineno}"


def test_the_search_for_the_time_finds_it() -> None:
    asking = ast.parse('"""now() in a docstring"""\nq = "SELECT NOW( )"\nf = func.now()')

    assert [line for line, text in _texts_beside_docstrings(asking) if "NOW" in text] == [2]
    assert list(_sqlalchemy_functions(asking)) == [(3, "now")]
    for text in ("select now()", "CURRENT_TIMESTAMP", "x < Localtimestamp"):
        assert ASKS_FOR_THE_TIME.search(text)
    for text in ("handled_at = :now", "current_timestamps", "now (or never)"):
        assert not ASKS_FOR_THE_TIME.search(text)


def _texts_beside_docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
        ):
            yield node.lineno, node.value


def _sqlalchemy_functions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "func"
        ):
            yield node.lineno, node.attr
