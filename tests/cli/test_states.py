"""Every state of docs/reference/states.md is judged; what waits for a person is in a list."""

import re
from pathlib import Path

import pytest

from tests.billing.given import open_account
from tests.cli.runner import run

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "states.md"
SECTION = "What waits for a person"
BY_ITSELF = {
    "Leads": {"pending", "charged", "refunded", "cancelled"},
    "Payments": {"created", "authorized", "failed", "captured", "partially_refunded", "refunded"},
    "Orders": {"requested", "unknown", "open", "paid", "refused", "expired"},
    "Refunds": {"requested", "submitted", "unknown", "processed"},
    "Chargebacks": {"won", "closed", "lost"},
    "Plans": {"active", "due_soon", "none"},
    "Holds": {"open", "captured", "voided", "expired"},
    "Disputes of leads": {"approved", "partially_approved", "rejected", "withdrawn"},
    "Mails": {"pending", "done", "skipped"},
    "Endpoints of notices": {"on", "removed"},
    "Deliveries of notices": {"pending", "done", "skipped"},
    "Inbox rows": {"pending", "done", "ignored"},
}
"""States that end by themselves, or are an end."""


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def states_of(section: str) -> set[str]:
    """The states in the first column of a table."""
    cells = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    return {state for cell in cells for state in re.findall("`([a-z_]+)`", cell)}


def listed() -> list[tuple[str, str]]:
    """What waits, and the command that lists it."""
    return re.findall(
        r"^\| (?!what|-)(.*?) \| `billing (.*?)` \|$", sections()[SECTION], re.MULTILINE
    )


@pytest.mark.parametrize("name", sorted(BY_ITSELF))
def test_every_state_ends_by_itself_or_is_in_a_list_for_a_person(name: str) -> None:
    waiting = {state for what, _ in listed() for state in re.findall("`([a-z_]+)`", what)}

    states = states_of(sections()[name])

    assert states
    assert states - BY_ITSELF[name] <= waiting
    assert states >= BY_ITSELF[name]


def test_every_table_of_states_is_judged() -> None:
    of_states = {name for name, text in sections().items() if states_of(text)}

    assert of_states == set(BY_ITSELF)


@pytest.mark.usefixtures("database", "redis")
@pytest.mark.parametrize(("what", "command"), listed())
def test_each_list_is_a_command(what: str, command: str) -> None:
    open_account()

    assert run(*command.split(), "--json").json == [], what
