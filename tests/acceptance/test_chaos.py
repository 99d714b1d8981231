"""Everything is killed, flushed and restarted while events flow in; each is charged exactly once.

`--chaos-rounds=N` runs it N times as long. The seed is printed; CHAOS_SEED repeats one.
"""

import os
import random
import secrets
from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.chaos import Blows, Traffic, make_events
from tests.acceptance.harness import NO_ANSWER, Stack, tiers
from tests.stack_process import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(0)]

EVENTS = 2_000
SECONDS = 40
ACCOUNTS = 6
CREDITS = 1_000_000
SETTLE_SECONDS = 240
"""Until every row is handled: leases of killed processes have to run out first."""


def test_every_accepted_event_is_charged_exactly_once(
    stack: Stack, pytestconfig: pytest.Config, announce: Callable[[str], None]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(10**6))
    for number in range(pytestconfig.getoption("--chaos-rounds")):
        run = f"chaos-{seed + number}"
        announce(f"{run}: {EVENTS} events over {SECONDS} s, while all is hurt")
        report = one_round(stack, run, random.Random(seed + number))
        announce("\n".join(f"  {what}: {value}" for what, value in report.items()))


def one_round(stack: Stack, run: str, chance: random.Random) -> dict[str, object]:
    # Given clinics with credit
    accounts = [f"clinic:{run}-{number}" for number in range(ACCOUNTS)]
    for ref in accounts:
        stack.make_account(ref, opening_credits=CREDITS)
    events = make_events(EVENTS, prefix=run, accounts=accounts, chance=chance)
    blows = Blows(stack, chance)
    # When events flow in, and everything is hurt at least once
    with Traffic(stack, events, SECONDS) as traffic:
        blows.deal_each_once()
    # Then every event was accepted in the end, and no answer was a wrong one
    leads = {event.lead_id: event for event in events}
    assert set(traffic.answers) <= {200, 202, 503, NO_ANSWER}, traffic.answers
    assert traffic.accepted == set(leads)
    # And the inbox gets empty by itself, with nothing dead in it
    mine = "source = 'leads' AND event_id LIKE %s"
    pending = f"SELECT count(*) FROM inbound_events WHERE {mine} AND state = 'pending'"
    stack.wait_until_database_answers()
    eventually(
        "no event is pending",
        lambda: stack.value(pending, f"{run}-%") == 0,
        seconds=SETTLE_SECONDS,
    )
    states = dict(
        stack.sql(
            f"SELECT state, count(*) FROM inbound_events WHERE {mine} GROUP BY state", f"{run}-%"
        )
    )
    assert states == {"done": len({event.event_id for event in events})}
    # And each lead is charged exactly once, at its price
    prices = dict(tiers())
    paid = Counter[str]()
    for event in leads.values():
        paid[event.account] += prices[event.price_paise]
    charged = dict(
        stack.sql(
            "SELECT lead_id, credits FROM lead_charges WHERE state = 'charged' AND lead_id LIKE %s",
            f"lead-{run}-%",
        )
    )
    assert charged == {lead: prices[event.price_paise] for lead, event in leads.items()}
    rows = stack.value(
        "SELECT count(*) FROM credit_transactions WHERE idempotency_key LIKE %s",
        f"lead:lead-{run}-%",
    )
    assert rows == len(leads)
    for ref in accounts:
        assert stack.balance(ref) == CREDITS - paid[ref] == ledger_sum(stack, ref)
    verified = stack.billing_process("ledger", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return {
        "blows": dict(blows.dealt),
        "answers": dict(traffic.answers),
        "events accepted": len(events),
        "distinct leads": len(leads),
        "leads charged": len(charged),
        "ledger rows": rows,
        "credits deducted": sum(paid.values()),
        "inbox": states,
        "ledger verify": "clean",
    }


def ledger_sum(stack: Stack, ref: str) -> int:
    """Return the sum of all amounts of an account."""
    total: int = stack.value(
        "SELECT sum(amount) FROM credit_transactions JOIN accounts ON accounts.id = account_id"
        " WHERE ref = %s",
        ref,
    )
    return total
