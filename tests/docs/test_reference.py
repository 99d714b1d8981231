"""The reference says what the source has: nothing is missing on a page, nothing is invented."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from sqlalchemy import CheckConstraint

import celeryconfig
from api.app import create_app
from billing.access import keys
from cli.main import billing
from db.models.base import Base
from settings import Settings, listeners
from tests.api.problem_kinds import declared_kinds
from tests.docs import pages

REFERENCE = pages.DOCS / "reference"
OF_THE_PROCFILE = re.compile(r"\$\{(\w+):-")
LOGGED = ("debug", "info", "warning", "error", "exception")


def rows(page: str) -> Iterator[list[str]]:
    """The cells of each table row of a page."""
    for line in (REFERENCE / page).read_text().splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def first_words(page: str) -> set[str]:
    """What stands in backticks in the first cell of each row of a page."""
    return {word for row in rows(page) for word in re.findall(r"`([^`]+)`", row[0])}


def section(page: str, title: str) -> set[str]:
    """What stands in backticks at the beginning of the rows of one section."""
    text = (REFERENCE / page).read_text()
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, title
    cells = re.findall(r"^\| (`[^|]+)\|", found[1], re.M)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def section_words(page: str, title: str) -> set[str]:
    """Everything in backticks in the rows of one section."""
    found = re.search(
        rf"^## {title}\n(.*?)(?=^## |\Z)", (REFERENCE / page).read_text(), re.M | re.S
    )
    assert found, title
    return set(re.findall(r"`([^`]+)`", found[1]))


def test_the_settings_are_those_of_the_source() -> None:
    of_the_procfile = OF_THE_PROCFILE.findall((pages.ROOT / "Procfile").read_text())
    expected = {name.upper() for name in Settings.model_fields} | set(of_the_procfile)
    for process in listeners.PORTS:
        expected |= {f"{process.upper()}_PORT", f"{process.upper()}_HOST"}
    # An option of its command line, and what listens on the loopback address alone.
    expected -= {"SIMULATOR_HOST", "SINK_HOST", "SINK_SMTP_HOST"}
    assert first_words("settings.md") == expected | {listeners.FLOWER_VARIABLE}


def commands(command: click.Command, path: str) -> Iterator[tuple[str, set[str]]]:
    """Every command with its arguments, and its options; those that are required end in a star."""
    context = click.Context(command, info_name=path)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner
            yield from commands(inner, f"{path} {name}")
        return
    arguments = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    options = {
        f"`{next(word for word in option.opts if word.startswith('--'))}`" + "\\*" * option.required
        for option in command.params
        if isinstance(option, click.Option)
    }
    yield " ".join([path, *arguments]), options


def test_the_commands_are_those_of_the_source() -> None:
    written = {
        row[0].strip("`"): {option for option in row[2].split(", ") if option}
        for row in rows("cli.md")
        if row[0].startswith("`billing ")
    }
    shared = section("cli.md", "What is printed")
    assert written == {
        command: {option for option in options if option.strip("`") not in shared}
        for command, options in commands(billing, "billing")
    }


def test_what_commands_share_is_shared_as_a_whole() -> None:
    for command, options in commands(billing, "billing"):
        for one, others in (
            ("`--after`", {"`--limit`", "`--wide`", "`--utc`", "`--csv`", "`--json`"}),
            ("`--wide`", {"`--utc`", "`--csv`", "`--json`"}),
            ("`--since`", {"`--until`"}),
            ("`--yes`", {"`--utc`", "`--json`"}),
        ):
            assert one not in options or others <= options, command


def test_the_routes_are_those_of_the_source() -> None:
    expected = {
        f"{method} {_with_braces(rule.rule)}"
        for rule in create_app().url_map.iter_rules()
        if rule.rule.startswith("/v1/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    written = {word for word in first_words("api.md") if " /v1/" in word}
    assert written == expected


def test_each_route_needs_the_scope_of_its_row() -> None:
    written = {row[0].strip("`"): row[1].strip("`") for row in rows("api.md") if " /v1/" in row[0]}
    assert written == {
        f"{method.upper()} {path}": operation["security"][0]["api_key"][0]
        for path, operations in create_app().api_doc["paths"].items()
        for method, operation in operations.items()
    }


def test_each_problem_type_is_on_the_page() -> None:
    assert declared_kinds() - {"unknown"} <= section_words("api.md", "Refusals")


def test_the_scopes_are_those_of_the_source() -> None:
    assert section("api.md", "Scopes") == set(keys.SCOPES)


def test_the_tasks_and_their_ticks_are_those_of_the_source() -> None:
    assert first_words("celery.md") == set(celeryconfig.task_routes)
    assert {row[0].strip("`"): row[1] for row in rows("celery.md") if row[1].endswith(" s")} == {
        tick["task"]: f"{tick['schedule']} s" for tick in celeryconfig.beat_schedule.values()
    }


@pytest.mark.parametrize(
    ("title", "table", "column", "beside"),
    [
        ("Leads", "lead_charges", "state", {"pending", "refused"}),
        ("Payments", "billing_payments", "state", set()),
        ("Orders", "billing_orders", "state", set()),
        ("Refunds", "billing_refunds", "state", set()),
        ("Chargebacks", "billing_chargebacks", "state", set()),
        ("Plans", "account_plans", "service_renewal_status", {"none"}),
        ("Holds", "holds", "state", set()),
        ("Disputes of leads", "lead_disputes", "state", set()),
        ("Inbox rows", "inbound_events", "state", set()),
    ],
)
def test_the_states_are_those_of_the_tables(
    title: str, table: str, column: str, beside: set[str]
) -> None:
    allowed = [
        found[1]
        for constraint in Base.metadata.tables[table].constraints
        if isinstance(constraint, CheckConstraint)
        and (found := re.match(rf"{column} IN \((.*)\)$", str(constraint.sqltext)))
    ]
    assert len(allowed) == 1
    assert section("states.md", title) == set(re.findall(r"'(\w+)'", allowed[0])) | beside


def test_the_log_lines_are_those_of_the_source() -> None:
    written = first_words("log-lines.md") - set(re.findall(r"`([^`]*\{[^`]*)`", _log_lines()))
    assert set(_logged()) - written == set()
    texts = set(_texts())
    # Some name more behind a colon: "message discarded: task_unknown"; one begins with a name.
    said = {line: line.removeprefix("...") for line in written}
    assert {
        line for line, text in said.items() if not any(known.startswith(text) for known in texts)
    } == set()


def test_the_operators_lines_are_those_of_the_source() -> None:
    lines = [line for line in first_words("log-lines.md") if "{" in line]
    source = "\n".join(path.read_text() for path in _product())
    assert len(lines) == 4
    for line in lines:
        pattern = re.sub(r"\\\{\w+\\\}", r"\\{[^}]+\\}", re.escape(line))
        assert re.search(pattern, source), line


def _with_braces(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def _log_lines() -> str:
    return (REFERENCE / "log-lines.md").read_text()


def _product() -> list[Path]:
    packages = (
        "api",
        "billing",
        "db",
        "gateways",
        "notify",
        "service",
        "tasks",
        "web",
        "webhook_receiver",
        "worker",
    )
    return [path for name in packages for path in sorted((pages.ROOT / name).rglob("*.py"))]


def _texts() -> Iterator[str]:
    """Every text in the product's source: some events are handed on before they are logged."""
    for path in _product():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def _logged() -> Iterator[str]:
    """The events that the product logs by name."""
    for path in _product():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            match ast.unparse(node.func.value), node.func.attr.removeprefix("log_"), node.args:
                case "log", level, [ast.Constant(value=line), *_] if level in LOGGED:
                    yield str(line)
                # Behind the session whose commit it waits for.
                case "after_commit", level, [_, ast.Constant(value=line)] if level in LOGGED:
                    yield str(line)
