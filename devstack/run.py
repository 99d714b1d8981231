"""`make run`: the stack, a demo lead to see that it works, and then until Ctrl-C."""

import asyncio
import os

from rich.table import Table

from devstack import demo, plan
from devstack.background import in_thread
from devstack.errors import DevstackError
from devstack.host import Story
from devstack.stack import Stack


def story(*, with_demo: bool) -> Story:
    """Return the story of `make run`; it ends by a signal only."""

    async def tell(stack: Stack) -> int:
        await stack.up()
        lead = await _show_demo(stack) if with_demo else None
        _show_hints(stack, lead)
        await asyncio.Event().wait()
        return 0

    return tell


async def _show_demo(stack: Stack) -> demo.Lead:
    lead = demo.new_lead()
    try:
        with stack.terminal.step("Demo lead"):
            await in_thread(demo.make_accounts)
            outcome = await in_thread(demo.send_and_wait, lead, port=stack.plan.ports["receiver"])
    except DevstackError as error:
        raise DevstackError(f"{error}\n{stack.log_tail('worker')}") from error
    table = Table(title="A lead event went in, credits came out", title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    for what, value in (
        ("event", lead.event_id),
        ("lead", lead.lead_id),
        ("account", lead.account),
        ("package value", f"₹{demo.PACKAGE_PRICE_PAISE // 100:,}"),
        ("credits", f"{outcome.credits:,}"),
        ("balance before", f"{outcome.balance_before:,}"),
        ("balance after", f"{outcome.balance_after:,}"),
        ("outcome", outcome.state),
    ):
        table.add_row(what, value)
    stack.terminal.say()
    stack.terminal.show(table)
    return lead


def _show_hints(stack: Stack, lead: demo.Lead | None) -> None:
    say = stack.terminal.say
    say()
    if "receiver" in stack.plan.ports:
        say(f"  lead events to  {stack.plan.url('receiver')}/webhooks/leads")
    if "api" in stack.plan.ports:
        say(f"  API             {stack.plan.url('api')}/openapi.json")
    if "flower" in stack.plan.ports:
        user, _, password = os.environ[plan.FLOWER_VARIABLE].split(",")[0].partition(":")
        say(f"  Flower          {stack.plan.url('flower')} (user {user}, password {password})")
    say(f"  logs            {stack.plan.logs_dir}")
    say()
    say("  In another terminal:")
    say(f"    .venv/bin/billing balance {demo.CLINIC}")
    say(f"    .venv/bin/billing history {demo.CLINIC}")
    say("    .venv/bin/billing inbox list")
    say("    .venv/bin/billing ledger verify")
    if lead and "api" in stack.plan.ports:
        address = f"{stack.plan.url('api')}{demo.status_address(lead)}"
        say(f"    curl -H 'Authorization: Bearer {demo.api_key()}' {address}")
    say()
    say("The stack is up. Ctrl-C stops everything.")
