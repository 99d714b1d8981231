"""What the causes of `causes.py` and `money.py` are made of: the account, the doors, the waiting.

Each of them says what it did, by `say`. Everything goes through the rules, or through a door that a
platform, a customer or a bank would use: no notice is written here.
"""

import http.client
import json
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from sqlalchemy import func, select

import clock
import settings
from billing import accounts, audit, catalog, leads
from billing.credit import corrections
from billing.errors import UnknownAccount
from db import deliveries
from db.deliveries import NewEvent
from db.models import Account, LeadCharge
from db.session import transaction
from errors import PermanentError

ACTOR = "cli:trigger"
WAIT_SECONDS = 30
PACKAGE_PRICE_PAISE = 1_200_000
_TIMEOUT_SECONDS = 15
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

T = TypeVar("T")


class Scene:
    """One account, and what can be done to it."""

    def __init__(self, ref: str) -> None:
        """`ref` is the account's reference; raises `UnknownAccount`."""
        self.ref = ref
        self.account()

    def account(self) -> Account:
        """Return the account as it is now."""
        with transaction() as session:
            found = accounts.find(session, self.ref)
            if found is None:
                raise UnknownAccount(self.ref)
            return found

    def say(self, did: str) -> None:
        """Tell the user what was done."""
        click.echo(f"  {did}", err=True)

    def adjust(self, amount: int) -> None:
        """Correct the balance by an amount of credits."""
        if not amount:
            return
        with transaction() as session:
            corrections.adjust(
                session, account=self.ref, amount=amount, reason="billing trigger", actor=ACTOR,
                idempotency_key=f"trigger:{secrets.token_hex(8)}",
            )  # fmt: skip
        self.say(f"corrected the balance by {amount:+,} credits")

    def bring_balance_to(self, credits_: int) -> None:
        """Correct the balance to so many credits."""
        self.adjust(credits_ - self.account().balance)

    def cover(self, credits_: int) -> None:
        """Give credit until so many can be spent beside what parked leads will take first."""
        account = self.account()
        parked = select(func.coalesce(func.sum(LeadCharge.credits), 0)).where(
            LeadCharge.account_id == account.id, LeadCharge.state == "parked"
        )
        with transaction() as session:
            wanted = credits_ + int(session.scalars(parked).one())
        self.adjust(max(wanted - accounts.available(account), 0))

    def price_of_a_lead(self) -> int:
        """Return the credits of the lead that `send_lead` sends."""
        tiers = catalog.get().lead_pricing.tiers  # they rise
        return [one.credits for one in tiers if one.from_paise <= PACKAGE_PRICE_PAISE][-1]

    def send_lead(self, lead_id: str | None = None, price_paise: int = PACKAGE_PRICE_PAISE) -> str:
        """Record a lead event as the receiver does, and nudge; return the lead's id."""
        from tasks.plumbing import nudges  # noqa: PLC0415 - Celery takes long to load

        lead_id = lead_id or f"trigger-{secrets.token_hex(6)}"
        data = {"lead_id": lead_id, "account": self.ref, "package_price_paise": price_paise}
        now = clock.now()
        event = {"type": "lead.created", "timestamp": now.isoformat(), "data": data}
        new = NewEvent("leads", f"evt_{secrets.token_hex(8)}", json.dumps(event).encode(), now)
        with transaction() as session:
            deliveries.record(session, [new])
        nudges.send("leads")
        self.say(f"recorded the event of lead {lead_id} in the inbox")
        return lead_id

    def wait_for_lead(self, lead_id: str, *states: str) -> LeadCharge:
        """Wait until the worker has brought a lead into one of the states."""

        def found() -> LeadCharge | None:
            with transaction() as session:
                lead = leads.find_lead(session, lead_id)
                return lead if lead is not None and lead.state in states else None

        return wait_for(f"lead {lead_id} is {' or '.join(states)}", found)

    def charged_lead(self) -> LeadCharge:
        """Send a lead that the account can pay, and return it when it is charged."""
        self.cover(self.price_of_a_lead())
        return self.wait_for_lead(self.send_lead(), "charged")

    def parked_lead(self) -> LeadCharge:
        """Send a lead that the account cannot pay, and return it when it is parked."""
        product = self.account().product
        if catalog.get().products[product].leads_without_credit != "park":
            raise PermanentError(
                f"leads of {product} are not parked, they become debt: name an account of another"
                " product, such as clinic_leads"
            )
        left = accounts.available(self.account()) - (self.price_of_a_lead() - 1)
        self.adjust(-max(left, 0))
        return self.wait_for_lead(self.send_lead(), "parked")

    def as_operator(self, act: Callable[[Any], T]) -> T:
        """Call a rule in a transaction of its own, as this command."""
        with audit.asked_by(ACTOR, door="cli"), transaction() as session:
            return act(session)


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float = WAIT_SECONDS) -> T:
    """Return what `look` returns as soon as it is not None.

    Raises `PermanentError` that says what did not happen.
    """
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise PermanentError(
                f"after {seconds:.0f} s it is not so that {what}: see that receiver and worker run"
                " (`billing status`)"
            )
        time.sleep(0.05)
    return found


def ask_simulator(path: str, body: dict[str, object]) -> Any:
    """POST to a control of the simulator; return its answer.

    Raises `PermanentError` if the gateway here is not the simulator, or if it refuses.
    """
    base = urlsplit(settings.get().razorpay_api_base)
    if base.hostname not in _LOOPBACK:
        raise PermanentError(
            "payments are triggered at the simulator, and Razorpay is not simulated here: start"
            " `make run` without keys of gateways of your own"
        )
    connection = http.client.HTTPConnection(
        base.hostname or "", base.port or 80, timeout=_TIMEOUT_SECONDS
    )
    try:
        connection.request(
            "POST", f"/simulator/{path}", json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        read = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PermanentError(
            f"the simulator does not answer ({type(error).__name__}): see that it runs,"
            " `make run` starts it"
        ) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise PermanentError(f"the simulator refused: {read.get('error')}")
    return read
