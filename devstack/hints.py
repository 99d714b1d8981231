"""What `make run` prints last: the addresses of the stack, and commands to look further."""

import json
from collections.abc import Iterator
from datetime import timedelta

import clock
import settings
from devstack import demo, demo_notice, demo_payment, demo_plan, mails, payment_gateways, plan
from devstack.stack import Stack

_WATCH = f".venv/bin/billing clock watch --days 400 --seconds 60 --account {demo_plan.PHARMACY}"


def show(stack: Stack, lead: demo.Lead | None, order: demo_payment.Order | None) -> None:
    """Print them; `lead` is the demo's, `order` waits at the simulator for a person to pay it."""
    say = stack.terminal.say
    say()
    for what, address in _addresses(stack.plan, order):
        say(f"  {what:<15} {address}")
    say()
    say("  In another terminal:")
    for command in (
        f".venv/bin/billing balance {demo.CLINIC}",
        f".venv/bin/billing history {demo.CLINIC}",
        ".venv/bin/billing payments list",
        f".venv/bin/billing plans show {demo_plan.PHARMACY}",
        ".venv/bin/billing inbox list",
        *_notices(stack.plan),
        ".venv/bin/billing ledger verify",
        *([_WATCH] if stack.plan.clock_file else []),
        *_requests(stack.plan, lead, order),
        *_sample_platform(stack.plan),
    ):
        say(f"    {command}")
    say()
    say("The stack is up. Ctrl-C stops everything.")


def _addresses(the_plan: plan.Plan, order: demo_payment.Order | None) -> Iterator[tuple[str, str]]:
    if "receiver" in the_plan.ports:
        yield "lead events to", f"{the_plan.url('receiver')}/webhooks/leads"
    if "api" in the_plan.ports:
        yield "API", f"{the_plan.url('api')}/docs"
        yield "for programs", f"{the_plan.url('api')}/openapi.json"
    if "web" in the_plan.ports:
        yield "pages", f"{the_plan.url('web')} (what links in mails open)"
    if the_plan.mails_to_sink:
        yield "mails", f"{the_plan.url(mails.SINK)} (sink: they are sent to nobody)"
    else:
        yield "mails", "by the SMTP_URL that is set: no sink"
    if "flower" in the_plan.ports:
        login = settings.flower_logins()[0]
        yield (
            "Flower",
            f"{the_plan.url('flower')} (user {login.user}, password {login.password})",
        )
    if the_plan.simulated:
        simulator = the_plan.url(payment_gateways.SIMULATOR)
        yield "payments", f"{simulator} (simulator of Razorpay and Stripe: no money moves)"
        if order is not None:
            yield "an order to pay", f"{simulator}{demo_payment.checkout_path(order)}"
    else:
        yield "payments", "by the gateway keys that are set: no simulator, no demo top-up"
    yield "logs", str(the_plan.logs_dir)
    if the_plan.clock_file and (ahead := clock.read_ahead(the_plan.clock_file)):
        day = clock.now().isoformat(" ", "minutes")
        yield "time", f"{day} ({_rounded(ahead)} ahead: billing clock show)"


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))


def _notices(the_plan: plan.Plan) -> Iterator[str]:
    """Yield what lets a person see notices: one in a terminal of its own, then the other."""
    if the_plan.shows_notices:
        yield ".venv/bin/billing listen --print-json"
        yield f".venv/bin/billing trigger {demo_notice.TOPIC} --account {demo.CLINIC}"


def _requests(
    the_plan: plan.Plan, lead: demo.Lead | None, order: demo_payment.Order | None
) -> Iterator[str]:
    if lead is None or "api" not in the_plan.ports:
        return
    api = the_plan.url("api")
    authorized = f"curl -H 'Authorization: Bearer {demo.api_key()}'"
    yield f"{authorized} {api}{demo.status_address(lead)}"
    if order is not None:
        yield (
            f"{authorized} -H 'Idempotency-Key: my-first-order' -H 'Content-Type: application/json'"
            f" -d '{json.dumps(demo_payment.wish())}' {api}/v1/orders"
        )
        body = json.dumps({"order_id": order.order_id})
        yield f"curl -d '{body}' {the_plan.url(payment_gateways.SIMULATOR)}/simulator/pay"


def _sample_platform(the_plan: plan.Plan) -> Iterator[str]:
    """Yield the command that starts examples/marketplace before this stack."""
    if the_plan.simulated and "api" in the_plan.ports:
        script = f"{the_plan.url(payment_gateways.SIMULATOR)}/v1/checkout.js"
        yield (
            f"BILLING_API_URL={the_plan.url('api')} BILLING_API_KEY={demo.api_key()}"
            f" CHECKOUT_SCRIPT={script}"
            " .venv/bin/python -m flask --app examples/marketplace/app.py run --port 8080"
        )
