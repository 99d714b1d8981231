"""The back office for the table of jobs: API, receiver, gateways, and a network that loses answers.

One of each for all jobs, behind one proxy, as a platform meets them: its `base_url` is the proxy.
A worker is `drain`, in this process. Slow to start: a database, an API and a
receiver, once for the whole module.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import clock
from billing import notices
from billing.access import keys as api_keys
from billing_client import BillingClient
from db.roles import Role
from db.session import transaction
from devstack.simulator.server import running as simulator_running
from tests.api import given as shop_parts
from tests.api.api_process import ApiProcess
from tests.billing.given import give, open_account, post_all, rows
from tests.billing_client.bank import API_KEY
from tests.billing_client.drivers import Driver, Kind, driving
from tests.billing_client.lossy_proxy import LossyProxy
from tests.conftest import LEAD_SECRET
from tests.gateways.conftest import Sim
from tests.tasks.given import work
from tests.tasks.returns.given import refunds_at
from tests.webhook_receiver.receiver_process import ReceiverProcess, one_process

OTHER_SECRET = "whsec_" + "b3RoZXItc2VjcmV0LW9mLTMyLWJ5dGVzLW9mLWl0cyE="
RS_6000 = 600_000
"""Costs 180 credits."""

_numbers = count(1)


@dataclass
class Things:
    """What a job is about. Each test has its own; the defaults exist nowhere."""

    account: str = "clinic:nobody"
    lead_id: str = "L-nowhere"
    hold_id: str = "999999999"
    order_id: str = "order_nowhere"
    payment_id: str = "pay_nowhere"
    refund_id: str = "999999999"
    dispute_id: int = 999_999_999
    contact_id: int = 999_999_999
    key: str = "a-key-of-the-tests"
    more: dict[str, Any] = field(default_factory=dict)


@dataclass
class World:
    """The back office, and the ways to it."""

    api: ApiProcess
    receiver: ReceiverProcess
    proxy: LossyProxy
    sim: Sim
    stranger_key: str
    """Of another product."""
    neighbour_key: str
    """Of another account of the same product."""
    house: BillingClient
    """The platform itself, on a network that loses nothing: for what a job needs beforehand."""
    has_many_accounts: bool = False

    def things(self, *, credits_: int = 10_000) -> Things:
        """Names of a test's own, and an account with credit."""
        number = next(_numbers)
        account = open_account(f"clinic:job-{number}", credits_=credits_)
        return Things(account=account, lead_id=f"L-job-{number}", key=f"key-{number}")

    @contextmanager
    def platform(
        self, kind: Kind, *, key: str = API_KEY, secret: str = LEAD_SECRET
    ) -> Iterator[Driver]:
        """Drive a platform's client behind the network."""
        with driving(
            kind, base_url=self.proxy.url, api_key=key, webhook_secret=secret, retries=2
        ) as driver:
            yield driver

    def drain(self) -> None:
        """Do what a worker does about leads."""
        for source in ("leads", "api_leads"):
            work(source)

    def charged(self, things: Things) -> Things:
        """Have the lead charged."""
        self.house.submit_lead(things.lead_id, things.account, RS_6000)
        self.drain()
        return things

    def placed(self, things: Things) -> Things:
        """Have what happened placed, as the worker of notices does: only then can it be read."""
        with transaction() as session:
            notices.fan_out(session, now=clock.now())
        return things

    def paid(self, things: Things) -> Things:
        """Have Rs 5,000 paid at Razorpay, for 5,500 credits; the browser has not come back."""
        order = self.house.place_order(things.account, "razorpay", package="credits_5000")
        assert order.order_id is not None
        brought = self.sim.pay(order.order_id)
        things.order_id = order.order_id
        things.payment_id = brought["razorpay_payment_id"]
        things.more["signature"] = brought["razorpay_signature"]
        return things

    def credited(self, things: Things) -> Things:
        """Have that payment verified too."""
        self.paid(things)
        self.house.verify_payment(things.order_id, things.payment_id, things.more["signature"])
        return things

    def orders(self, things: Things) -> int:
        """How many orders the gateways have of the account."""
        razorpay = self.sim.world.razorpay.orders.values()
        stripe = self.sim.world.stripe.sessions.values()
        return len(
            [one for one in razorpay if one["notes"] == {"account": things.account}]
            + [one for one in stripe if one["metadata"].get("account") == things.account]
        )

    def refunds(self, things: Things) -> list[int]:
        """The amounts of the refunds that the gateway has of the payment, in paise."""
        return [int(one["amount"]) for one in refunds_at(self.sim, things.payment_id)]

    def ledger(self, things: Things) -> Sequence[tuple[object, ...]]:
        """(kind, amount) of the account's rows after its opening, oldest first."""
        return rows(
            "SELECT t.kind, t.amount FROM credit_transactions t JOIN accounts a"
            " ON a.id = t.account_id WHERE a.ref = :ref AND t.kind <> 'goodwill' ORDER BY t.id",
            ref=things.account,
        )

    def count(self, table: str, things: Things) -> int:
        """How many rows of a table belong to the account."""
        [(found,)] = rows(
            f"SELECT count(*) FROM {table} x JOIN accounts a ON a.id = x.account_id"
            " WHERE a.ref = :ref",
            ref=things.account,
        )
        return int(str(found))


@contextmanager
def running_world(database: str, folder: Path) -> Iterator[World]:
    """Start it; this process must already work on the database."""
    with simulator_running(shop_parts.GATEWAYS) as gateways:
        sim = Sim(gateways)
        chosen = shop_parts.environment(database, API_KEY, sim)
        with (
            ApiProcess(folder / "api.log", **chosen) as api,
            one_process(folder / "receiver.log", DATABASE_URL=database) as receiver,
            LossyProxy(api.port, receiver.port) as proxy,
            BillingClient(base_url=f"http://127.0.0.1:{api.port}", api_key=API_KEY) as house,
        ):
            yield World(api, receiver, proxy, sim, _key("pharma"), _neighbour(), house)


def _key(name: str, **reach: str) -> str:
    with transaction(Role.OWNER) as session:
        return api_keys.create(session, name=name, **(reach or {"product": "pharmapulse_one"}))


def _neighbour() -> str:
    account = open_account("clinic:neighbour")
    post_all(give(1_000, account=account, key="opening-of-neighbour"))
    return _key("neighbour", account=account)
