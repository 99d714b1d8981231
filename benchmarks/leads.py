"""What is measured with: made-up clinics with credit, and lead events as platforms write them."""

import json
import secrets
from typing import Any

import clock
from billing import accounts, audit
from billing.ledger import Kind, Posting, post
from db.session import transaction

PRICES_PAISE = (350_000, 700_000, 1_200_000, 2_500_000, 6_000_000, 12_000_000)
"""One package in each tier."""
HIGHEST_CHARGE = 500
_CHUNK = 500


def new_run() -> str:
    """Return a name that no earlier run has used; ids of events and leads start with it."""
    return f"bench-{secrets.token_hex(4)}"


def open_accounts(run: str, *, count: int, leads_each: int) -> list[str]:
    """Open `count` clinics, each with a purchase and a bonus that pay for `leads_each` leads."""
    refs = [f"clinic:{run}-{number}" for number in range(1, count + 1)]
    half = HIGHEST_CHARGE * leads_each // 2 + HIGHEST_CHARGE
    for start in range(0, count, _CHUNK):
        with audit.asked_by("benchmarks", door="cli"), transaction() as session:
            chunk = refs[start : start + _CHUNK]
            for ref in chunk:
                accounts.create(session, ref=ref, name="Benchmark", product="clinic_leads")
            post(
                session,
                [
                    Posting(ref, half, kind, f"{ref}:{kind}", actor="benchmark")
                    for ref in chunk
                    for kind in (Kind.TOP_UP, Kind.BONUS)
                ],
            )
    return refs


def lead(run: str, number: int, account: str) -> dict[str, Any]:
    """Return the fields of the run's lead number `number`, as both doors take them."""
    return {
        "lead_id": f"{run}-L{number}",
        "account": account,
        "package_price_paise": PRICES_PAISE[number % len(PRICES_PAISE)],
        "source": "benchmark",
    }


def lead_event(run: str, number: int, account: str) -> tuple[str, bytes]:
    """Return the event id and the body of the run's lead number `number`."""
    body = {
        "type": "lead.created",
        "timestamp": clock.now().isoformat(),
        "data": lead(run, number, account),
    }
    return f"{run}-E{number}", json.dumps(body).encode()
