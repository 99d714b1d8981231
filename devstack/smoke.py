"""`make smoke`: is a fresh checkout whole? The stack on free ports and throw-away data, checked."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from devstack import demo, probes
from devstack.background import in_thread
from devstack.stack import Stack

Check = tuple[str, str, bool]
"""What was checked, what was found, whether that is right."""


async def story(stack: Stack) -> int:
    """Bring the stack up and check what comes of one lead; return 0 when all of it is right."""
    await stack.up()
    with stack.terminal.step("Checks"):
        checks = await in_thread(lambda: list(_checks(stack)))
    _show(stack, checks)
    if all(right for _, _, right in checks):
        return 0
    for name in stack.plan.commands:
        stack.terminal.error(stack.log_tail(name))
    return 1


def _checks(stack: Stack) -> Iterator[Check]:
    receiver, flower = stack.plan.ports["receiver"], stack.plan.ports["flower"]
    for name, port, path in (
        ("receiver is alive", receiver, "/healthz"),
        ("receiver is ready", receiver, "/readyz"),
        ("Flower answers", flower, "/healthcheck"),
    ):
        status = probes.http_status(port, path)
        yield name, f"{path}: {status}", status == 200

    demo.make_accounts()
    lead = demo.new_lead()
    outcome = demo.send_and_wait(lead, port=receiver)
    yield "the lead is charged", outcome.state, outcome.state == "charged"
    yield "at the price of its tier", f"{outcome.credits} credits", outcome.credits == demo.CREDITS
    repeated = demo.send(lead, port=receiver)
    yield "the same event again is known", str(repeated), repeated == 200

    left = demo.balance(lead.account)
    change = f"{outcome.balance_before:,} -> {left:,}"
    yield "deducted exactly once", change, left == outcome.balance_before - demo.CREDITS
    history = _billing("history", lead.account, "--json")
    rows = history.stdout.count(f"lead:{lead.lead_id}:charge")
    yield "one row in the history", str(rows), rows == 1
    verified = _billing("ledger", "verify")
    found = "exit code 0" if verified.returncode == 0 else verified.stdout + verified.stderr
    yield "the ledger verifies", found.strip(), verified.returncode == 0


def _billing(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / "billing"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
    )


def _show(stack: Stack, checks: list[Check]) -> None:
    table = Table(title="Smoke test", title_justify="left")
    table.add_column("check")
    table.add_column("found")
    table.add_column("")
    for name, found, right in checks:
        table.add_row(name, escape(found), "[green]ok[/]" if right else "[red]wrong[/]")
    stack.terminal.show(table)
