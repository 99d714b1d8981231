"""Both doors of lead billing at once, through the client that platforms install, while workers die.

Each lead is charged once, whichever doors it came by and however often; the parked are released
in their order. The seed is printed; DOORS_SEED repeats one.
"""

import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from billing_client import Accepted, BillingClient, CeleryBillingClient
from devstack import ports
from tests.acceptance.harness import Stack, tiers
from tests.stack_process import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(0)]

LEADS = 10_000
REPEATED = LEADS // 4
ACCOUNTS = 20
CREDITS = 10_000_000
PARKED_EACH = 15
SETTLE_SECONDS = 300
"""A message that a kill loses comes back from its copy after a minute."""

Lead = dict[str, Any]


def test_each_lead_is_charged_once_by_whichever_doors_it_comes(
    stack: Stack, announce: Callable[[str], None]
) -> None:
    seed = int(os.environ.get("DOORS_SEED") or secrets.randbelow(10**6))
    run, chance = f"doors-{seed}", random.Random(seed)
    announce(f"{run}: {LEADS:,} leads by both doors, while workers die")
    # Given clinics with credit, two without, and leads of all of them
    rich = [f"clinic:{run}-{number}" for number in range(ACCOUNTS)]
    poor = [f"clinic:{run}-poor-{number}" for number in range(2)]
    for ref in rich:
        stack.make_account(ref, opening_credits=CREDITS)
    for ref in poor:
        made = stack.billing_process(
            "accounts", "create", ref, "--name", "Poor", "--product", "clinic_leads"
        )
        assert made.returncode == 0, made.stderr
    leads = [lead(f"{run}-{number}", chance.choice(rich), chance) for number in range(LEADS)]
    parked = [lead(f"{run}-{ref[-1]}-{n}", ref, chance) for ref in poor for n in range(PARKED_EACH)]
    sent = [*leads, *parked, *chance.choices(leads, k=REPEATED)]
    chance.shuffle(sent)
    # When they are sent through both doors at once, some by both at the same instant, while
    # workers are killed
    started = time.monotonic()
    with killing_workers(stack, chance) as kills:
        send_everything(stack, sent, chance)
        sending = time.monotonic() - started
        count = "SELECT count(*) FROM lead_charges WHERE lead_id LIKE %s"
        eventually(
            "every lead has its row",
            lambda: stack.value(count, f"{run}-%") == LEADS + len(parked),
            seconds=SETTLE_SECONDS,
        )
    nothing_is_waiting(stack)
    # Then each has one charge at its price, and nothing is dead
    prices = dict(tiers())
    expected = {one["lead_id"]: prices[one["package_price_paise"]] for one in leads}
    charged = stack.sql(
        "SELECT lead_id, -amount FROM credit_transactions"
        " WHERE kind = 'lead_charge' AND lead_id LIKE %s",
        f"{run}-%",
    )
    assert len(charged) == LEADS
    assert dict(charged) == expected
    spent = Counter[str]()
    for one in leads:
        spent[one["account"]] += prices[one["package_price_paise"]]
    balances = dict(
        stack.sql("SELECT ref, balance FROM accounts WHERE ref LIKE %s", f"clinic:{run}-%")
    )
    assert balances == {ref: CREDITS - spent[ref] for ref in rich} | dict.fromkeys(poor, 0)
    assert dict(outcomes(stack, run)).keys() == {"done"}
    # And the parked are released in their order, as far as the credit goes
    for ref in poor:
        release_in_order(stack, ref, prices)
    assert stack.billing("ledger", "verify")["ok"]
    announce(
        f"{run}: {len(sent):,} sends of {LEADS + len(parked):,} leads in {sending:.0f} s,"
        f" settled after {time.monotonic() - started:.0f} s, {kills.count} kills"
    )


def lead(lead_id: str, account: str, chance: random.Random) -> Lead:
    price_paise, _ = chance.choice(tiers())
    return {"lead_id": lead_id, "account": account, "package_price_paise": price_paise}


def send_everything(stack: Stack, sent: list[Lead], chance: random.Random) -> None:
    """Send half of it over HTTP and half over Celery, one by one and in bulk, all at once."""
    http = BillingClient(
        receiver_url=f"http://{ports.HOST}:{stack.environment['RECEIVER_PORT']}",
        webhook_secret=stack.addresses["lead_webhook_secrets"],
    )
    celery = CeleryBillingClient(redis_url=stack.addresses["redis_url"])
    half = len(sent) // 2
    both = chance.sample(sent, 100)
    parts: list[Callable[[], None]] = [
        *(partial(one_by_one, http, sent[n:half:4]) for n in range(4)),
        partial(one_by_one, celery, sent[half : half + 1_000]),
        partial(in_bulk, celery, sent[half + 1_000 :]),
        *(partial(one_by_one, way, both) for way in (http, celery)),
    ]
    with http, celery, ThreadPoolExecutor(len(parts)) as pool:
        for done in [pool.submit(part) for part in parts]:
            done.result()


def one_by_one(client: BillingClient | CeleryBillingClient, leads: list[Lead]) -> None:
    for one in leads:
        client.charge_lead(**one)


def in_bulk(client: CeleryBillingClient, leads: list[Lead]) -> None:
    assert all(isinstance(result, Accepted) for result in client.charge_leads(leads))


class killing_workers:  # noqa: N801 - used like a function
    """Kills a worker's process now and then for as long as the block lasts."""

    def __init__(self, stack: Stack, chance: random.Random) -> None:
        self._stack, self._chance = stack, random.Random(chance.random())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0

    def __enter__(self) -> "killing_workers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        stop_at = time.monotonic() + 30  # then the rest may settle
        while not self._over.wait(self._chance.uniform(0.5, 3)) and time.monotonic() < stop_at:
            pids = self._stack.worker_children()[:1]
            if self._chance.random() < 0.3:
                pids = [pid for pid in [self._stack.pid_of("worker")] if pid is not None]
            for pid in pids:
                with suppress(ProcessLookupError):
                    self._stack.kill(pid)
                    self.count += 1


def nothing_is_waiting(stack: Stack) -> None:
    waiting = "SELECT count(*) FROM inbound_events WHERE state = 'pending'"
    eventually("the inbox is empty", lambda: stack.value(waiting) == 0, seconds=SETTLE_SECONDS)


def outcomes(stack: Stack, run: str) -> list[tuple[Any, ...]]:
    """How the deliveries of the run ended, and how many."""
    return stack.sql(
        "SELECT state, count(*) FROM inbound_events"
        " WHERE position(convert_to(%s, 'UTF8') in body) > 0 GROUP BY state",
        f'"{run}-',
    )


def release_in_order(stack: Stack, ref: str, prices: dict[int, int]) -> None:
    """Top the account up in two steps; each releases the next leads and no others."""
    queue = stack.sql(
        "SELECT l.lead_id, l.credits FROM lead_charges l JOIN accounts a ON a.id = l.account_id"
        " WHERE a.ref = %s AND l.state = 'parked' ORDER BY l.parked_number",
        ref,
    )
    assert len(queue) == PARKED_EACH
    first = sum(credits_ for _, credits_ in queue[:5]) + min(prices.values()) - 1
    rest = sum(credits_ for _, credits_ in queue) - first
    for amount, released in ((first, queue[:5]), (rest, queue)):
        done = stack.billing_process(
            "credit", ref, str(amount), "--reason", "top-up", "--actor", "acceptance"
        )
        assert done.returncode == 0, done.stderr
        charged = (
            "SELECT t.lead_id FROM credit_transactions t JOIN accounts a ON a.id = t.account_id"
            " WHERE a.ref = %s AND t.kind = 'lead_charge' ORDER BY t.version"
        )
        expected = [(lead_id,) for lead_id, _ in released]
        released_all = partial(is_charged, stack, charged, ref, len(expected))
        eventually(f"{len(expected)} leads of {ref} are released", released_all)
        assert stack.sql(charged, ref) == expected


def is_charged(stack: Stack, query: str, ref: str, count: int) -> bool:
    return len(stack.sql(query, ref)) == count
