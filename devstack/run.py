"""`make run`: the stack, a demo of each thing that it does, then until Ctrl-C."""

import asyncio

from rich.table import Table

from devstack import demo, demo_notice, demo_payment, demo_plan, hints, mails
from devstack.background import in_thread
from devstack.errors import DevstackError
from devstack.host import Story
from devstack.stack import Stack

NEEDED_TO_PAY = {"simulator", "api", "receiver"}


def story(*, with_demo: bool) -> Story:
    """Return the story of `make run`; it ends by a signal only."""

    async def show(stack: Stack) -> int:
        await stack.up()
        lead = await _show_lead(stack) if with_demo else None
        # With keys of a person's own the money would be real.
        with_payment = with_demo and stack.plan.ports.keys() >= NEEDED_TO_PAY
        order = await _show_payment(stack) if with_payment else None
        if with_demo:
            await _show_plan(stack, paid_for=with_payment)
        if with_demo and stack.plan.shows_notices:
            await _show_notice(stack)
        hints.show(stack, lead, order)
        await asyncio.Event().wait()
        return 0

    return show


async def _show_lead(stack: Stack) -> demo.Lead:
    lead = demo.new_lead()
    try:
        with stack.terminal.step("Demo lead"):
            await in_thread(demo.make_accounts)
            outcome = await in_thread(demo.send_and_wait, lead, port=stack.plan.ports["receiver"])
    except DevstackError as error:
        raise DevstackError(f"{error}\n{stack.log_tail('worker')}") from error
    _show_table(
        stack,
        "A lead event went in, credits came out",
        {
            "event": lead.event_id,
            "lead": lead.lead_id,
            "account": lead.account,
            "package value": f"₹{demo.PACKAGE_PRICE_PAISE // 100:,}",
            "credits": f"{outcome.credits:,}",
            "balance before": f"{outcome.balance_before:,}",
            "balance after": f"{outcome.balance_after:,}",
            "outcome": outcome.state,
        },
    )
    return lead


async def _show_payment(stack: Stack) -> demo_payment.Order:
    """Show one top-up; return another order, for a person to pay."""
    ports = stack.plan.ports
    stack.terminal.say()
    try:
        with stack.terminal.step("Demo top-up, paid at the simulator"):
            order = await in_thread(_order, stack)
            payment, outcome = await in_thread(
                demo_payment.pay_and_wait, order, simulator_port=ports["simulator"]
            )
            open_order = await in_thread(_order, stack)
    except DevstackError as error:
        tails = (stack.log_tail(name) for name in ("api", "simulator", "worker"))
        raise DevstackError("\n".join([str(error), *tails])) from error
    _show_table(
        stack,
        "A payment went in, credits came out",
        {
            "order": order.order_id,
            "payment": payment.payment_id,
            "account": order.account,
            "paid (simulated)": f"₹{order.amount_paise // 100:,}",
            "credits + bonus": f"{outcome.credits:,} + {outcome.bonus_credits:,}",
            "balance before": f"{outcome.balance_before:,}",
            "balance after": f"{outcome.balance_after:,}",
            "state": outcome.state,
        },
    )
    return open_order


async def _show_plan(stack: Stack, *, paid_for: bool) -> None:
    ports = stack.plan.ports
    buying = demo_plan.Buying(ports["api"], ports["simulator"]) if paid_for else None
    stack.terminal.say()
    try:
        with stack.terminal.step("Demo plan"):
            found = await in_thread(demo_plan.have_one, buying)
    except DevstackError as error:
        tails = (stack.log_tail(name) for name in ("api", "simulator", "worker"))
        raise DevstackError("\n".join([str(error), *tails])) from error
    assert found.plan is not None  # have_one raises else
    assert found.renewal is not None
    next_grant = found.next_grant
    _show_table(
        stack,
        "A plan brings credit each month",
        {
            "account": found.account,
            "plan": found.plan.plan_type,
            "state": found.renewal.service_renewal_status,
            "balance": f"{found.balance:,}",
            "next credits": f"{next_grant.credits:,} for {next_grant.month}" if next_grant else "-",
            "renewal due": f"{found.renewal.due_on}",
        },
    )


async def _show_notice(stack: Stack) -> None:
    ports = stack.plan.ports
    stack.terminal.say()
    try:
        with stack.terminal.step("Demo notice"):
            await in_thread(lambda: demo_notice.make_ready(with_mail=stack.plan.mails_to_sink))
            arrived = await in_thread(demo_notice.cause_and_wait, receiver_port=ports["receiver"])
            mail = None
            if stack.plan.mails_to_sink:
                mail = await in_thread(
                    demo_notice.wait_for_mail, arrived, sink_port=ports[mails.SINK]
                )
    except DevstackError as error:
        tails = (stack.log_tail(name) for name in ("worker", "notices"))
        raise DevstackError("\n".join([str(error), *tails])) from error
    rows = {
        "notice": arrived.notice_id,
        "type": arrived.type,
        "account": arrived.account,
        "sequence": f"{arrived.sequence}",
        "signature": "verified" if arrived.verified else "WRONG",
        "at the receiver": f"{arrived.milliseconds:,} ms after it was written",
    }
    if mail is not None:
        rows["mail"] = mail.subject
        rows["read it at"] = f"{stack.plan.url(mails.SINK)}/mails/{mail.mail_id}"
    elif stack.plan.mails_to_sink:
        rows["mail"] = "none: one a day, unless its reader stopped them"
    _show_table(stack, "Credit ran low, and who should know heard of it", rows)


def _order(stack: Stack) -> demo_payment.Order:
    return demo_payment.open_order(
        api_port=stack.plan.ports["api"], idempotency_key=demo_payment.new_key()
    )


def _show_table(stack: Stack, title: str, rows: dict[str, str]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    for what, value in rows.items():
        table.add_row(what, value)
    stack.terminal.say()
    stack.terminal.show(table)
