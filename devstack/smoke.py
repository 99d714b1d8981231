"""`make smoke`: is a fresh checkout whole? The stack on free ports and throw-away data, checked."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from devstack import demo, demo_notice, demo_payment, demo_plan, mails, probes
from devstack.background import in_thread
from devstack.stack import Stack

Check = tuple[str, str, bool]
"""What was checked, what was found, whether that is right."""


async def story(stack: Stack) -> int:
    """Bring the stack up, check what comes of a lead and a top-up; return 0 when all is right."""
    await stack.up()
    with stack.terminal.step("Checks"):
        checks = await in_thread(lambda: list(_checks(stack)))
    _show(stack, checks)
    wrong = [f"{name}: {found}" for name, found, right in checks if not right]
    if not wrong:
        return 0
    for name in stack.plan.commands:
        stack.terminal.error(stack.log_tail(name))
    # Once more, and last: if only the end of the output is kept, it still says what is wrong.
    stack.terminal.error(f"wrong: {len(wrong)} of {len(checks)}\n" + "\n".join(wrong))
    return 1


def _checks(stack: Stack) -> Iterator[Check]:
    yield from _doors(stack)
    demo.make_accounts()
    yield from _lead(stack)
    if stack.plan.simulated:  # else the money would be real
        yield from _payment(stack)
        yield from _plan(stack)
    if stack.plan.shows_notices:
        yield from _notice(stack)
    verified = _billing("ledger", "verify")
    found = "exit code 0" if verified.returncode == 0 else verified.stdout + verified.stderr
    yield "the ledger verifies", found.strip(), verified.returncode == 0


def _doors(stack: Stack) -> Iterator[Check]:
    receiver, api, flower = (stack.plan.ports[name] for name in ("receiver", "api", "flower"))
    flower_login = demo.flower_login()
    for name, port, path, authorization, right in (
        ("receiver is alive", receiver, "/healthz", None, 200),
        ("receiver is ready", receiver, "/readyz", None, 200),
        ("API is alive", api, "/healthz", None, 200),
        ("API is ready", api, "/readyz", None, 200),
        ("API documents itself", api, "/openapi.json", None, 200),
        ("the pages are alive", stack.plan.ports["web"], "/healthz", None, 200),
        ("the pages are ready", stack.plan.ports["web"], "/readyz", None, 200),
        ("Flower is alive", flower, "/healthcheck", None, 200),
        ("Flower asks for a password", flower, "/", None, 401),
        ("Flower opens with it", flower, "/", flower_login, 200),
    ):
        status = probes.http_status(port, path, authorization=authorization)
        yield name, f"{path}: {status}", status == right
    if stack.plan.simulated:
        status = probes.http_status(stack.plan.ports["simulator"], "/")
        yield "the simulator is up", f"/: {status}", status == 200


def _lead(stack: Stack) -> Iterator[Check]:
    receiver, api = stack.plan.ports["receiver"], stack.plan.ports["api"]
    lead = demo.new_lead()
    outcome = demo.send_and_wait(lead, port=receiver)
    yield "the lead is charged", outcome.state, outcome.state == "charged"
    yield "at the price of its tier", f"{outcome.credits} credits", outcome.credits == demo.CREDITS
    repeated = demo.send(lead, port=receiver)
    yield "the same event again is known", str(repeated), repeated == 200

    address = demo.status_address(lead)
    status = probes.http_status(api, address)
    yield "the API asks for a key", str(status), status == 401
    status, body = probes.http_get(api, address, authorization=f"Bearer {demo.api_key()}")
    state = json.loads(body)["state"] if status == 200 else f"{status}"
    yield "and answers for the lead", state, state == "charged"

    left = demo.balance(lead.account)
    change = f"{outcome.balance_before:,} -> {left:,}"
    yield "deducted exactly once", change, left == outcome.balance_before - demo.CREDITS
    history = _billing("history", lead.account, "--json")
    rows = history.stdout.count(f"lead:{lead.lead_id}:charge")
    yield "one row in the history", str(rows), rows == 1


def _payment(stack: Stack) -> Iterator[Check]:
    api, simulator = stack.plan.ports["api"], stack.plan.ports["simulator"]
    brings = demo_payment.CREDITS + demo_payment.BONUS_CREDITS
    key = demo_payment.new_key()
    order = demo_payment.open_order(api_port=api, idempotency_key=key)
    price = f"₹{order.amount_paise // 100:,} for {order.credits:,} + {order.bonus_credits:,}"
    yield "the API opens an order", price, order.credits + order.bonus_credits == brings
    again = demo_payment.open_order(api_port=api, idempotency_key=key)
    yield "under its key the same again", again.order_id, again == order

    payment, outcome = demo_payment.pay_and_wait(order, simulator_port=simulator)
    yield "paid at the simulator", outcome.state, outcome.state == "captured"
    deliveries = demo_payment.deliveries(simulator_port=simulator)
    taken = f"{deliveries.count('taken')} of {len(deliveries)}"
    yield "its webhooks are taken", taken, bool(deliveries) and set(deliveries) == {"taken"}
    verified = demo_payment.verify(payment, api_port=api)
    found = f"{verified.get('state')}, {verified.get('credits_added')} credits"
    yield "verified over the API", found, found == f"captured, {brings} credits"

    left = demo.balance(order.account)
    change = f"{outcome.balance_before:,} -> {left:,}"
    yield "credited once, with its bonus", change, left == outcome.balance_before + brings
    history = _billing("history", order.account, "--json")
    rows = history.stdout.count(f"razorpay:{payment.payment_id}:")
    yield "two rows in the history", str(rows), rows == 2


def _plan(stack: Stack) -> Iterator[Check]:
    api = stack.plan.ports["api"]
    found = demo_plan.have_one(demo_plan.Buying(api, stack.plan.ports["simulator"]))
    state = found.renewal.service_renewal_status if found.renewal else "none"
    yield (
        "a plan is bought",
        f"{state}, due {found.renewal and found.renewal.due_on}",
        (state == "active" and demo_plan.years_paid() == 1),
    )
    yield (
        "its first month is granted",
        f"{found.balance:,}",
        (found.balance == demo_plan.MONTHLY_CREDITS),
    )
    answer = demo_plan.entitlements(api_port=api)
    allowed = [name for name, one in answer["entitlements"].items() if one["allowed"]]
    right = len(allowed) == len(answer["entitlements"])
    yield "everything is allowed", ", ".join(allowed), right and bool(allowed)
    key = demo_payment.new_key()
    for _ in range(2):  # the second is a repeat
        status, spent = demo_plan.spend(150, api_port=api, key=key)
    left = demo_plan.overview().balance
    wanted = demo_plan.MONTHLY_CREDITS - 150
    yield (
        "credits are spent once",
        f"{status}, {left:,}",
        ((status, spent.get("balance"), left) == (201, wanted, wanted)),
    )
    status, refused = demo_plan.spend(wanted + 1, api_port=api, key=demo_payment.new_key())
    yield "and not more than there are", f"{status} {refused.get('title', '')}", status == 402


def _notice(stack: Stack) -> Iterator[Check]:
    demo_notice.make_ready(with_mail=stack.plan.mails_to_sink)
    arrived = demo_notice.cause_and_wait(receiver_port=stack.plan.ports["receiver"])
    found = f"{arrived.type}, {arrived.milliseconds:,} ms"
    yield "a notice of low credit arrives", found, arrived.type == demo_notice.TOPIC
    yield "signed by its endpoint's secret", arrived.notice_id, arrived.verified
    if stack.plan.mails_to_sink:
        mail = demo_notice.wait_for_mail(arrived, sink_port=stack.plan.ports[mails.SINK])
        yield "and its mail is in the sink", mail.subject if mail else "none", mail is not None


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
