"""How long after the receiver's 202 the credit of a payment can be seen by another connection.

Measured as leads are, in `latency.py`, and after leads at the same rates, which are the yardstick:
Razorpay's signed webhooks, each for an order of its own that is open when the clock starts. No
gateway can be asked, so only the webhook reports it.
"""

from benchmarks import lab, latency, leads, outcome, webhooks
from benchmarks.report import Report
from billing import audit
from billing.payments import OrderFacts, OrderRequest, orders, pricing
from db.session import transaction

DEFAULT_EVENTS = 1_000
"""Payments at the highest rate; every rate is kept up as long."""
RATES = (1, 50)
ACCOUNTS = 1_000
COLUMNS = ("events", "events /s", "number", *latency.COLUMNS[2:-1], "of leads", "aim")

_CHUNK = 100


def measure(here: lab.Lab, *, events: int) -> Report:
    """Pay at each rate for as long as `events` take at the highest; raise `WrongOutcome`."""
    run = leads.new_run()
    accounts = leads.open_accounts(run, count=ACCOUNTS, leads_each=3 + 2 * events // ACCOUNTS)
    yardstick = latency.Course(run, "leads", RATES, events, "lead_id", f"{run}-L", accounts)
    lead_rows, _ = yardstick.run_in(here)
    outcome.require_charged_once(run, yardstick.sent)
    payment_rows, note = _pay(here, events, accounts)
    outcome.require_clean_ledger()
    rows = [
        *(("leads", *row[:-1], 1.0, "") for row in lead_rows),
        *(
            ("payments", *row[:-1], _p50(row) / _p50(lead_row), row[-1])
            for row, lead_row in zip(payment_rows, lead_rows, strict=True)
        ),
    ]
    return Report(
        "Payments: from the 202 to a Razorpay webhook to its credit, as another connection sees it",
        COLUMNS,
        rows,
        f"{note} Of leads: p50 held against theirs at the same rate. Every payment was credited"
        " once, with its bonus; the ledger is clean.",
    )


def _pay(here: lab.Lab, events: int, accounts: list[str]) -> tuple[list[latency.Row], str]:
    run = leads.new_run()
    paid = webhooks.payment_id(run)
    course = latency.Course(run, "razorpay", RATES, events, "payment_id", paid)
    _open_orders(run, count=course.sent, accounts=accounts)
    rows, note = course.run_in(here)
    price = pricing.quote(
        "clinic_leads", package=None, amount_paise=webhooks.PAYMENT_PAISE, plan=None
    )
    outcome.require_credited_once(
        run, paid, events=course.sent, credits_each=price.credits, bonus_each=price.bonus_credits
    )
    return rows, note


def _p50(row: latency.Row) -> float:
    p50 = row[latency.COLUMNS.index("visible p50 ms")]
    assert isinstance(p50, float)
    return p50


def _open_orders(run: str, *, count: int, accounts: list[str]) -> None:
    """Make an open order for each payment of the run, as after the gateway's answer."""
    for start in range(0, count, _CHUNK):
        with audit.asked_by("benchmarks", door="cli"), transaction() as session:
            for number in range(start, min(start + _CHUNK, count)):
                account = accounts[number % len(accounts)]
                wish = OrderRequest(account, "razorpay", amount_paise=webhooks.PAYMENT_PAISE)
                order, _ = orders.create(
                    session, wish, actor="benchmark", operation_key=f"{run}-{number}"
                )
                gateways_id = webhooks.order_id(run, number)
                facts = OrderFacts(
                    "razorpay", gateways_id, order.receipt, order.amount_paise, order.currency
                )
                orders.record_opened(session, order.id, facts)
