"""The demo: two accounts, and one real lead event through the front door.

Used by `run.py` to show that the stack works, and by `smoke.py` to prove it.
"""

import base64
import http.client
import json
import secrets
import time
from dataclasses import dataclass

import clock
import settings
from billing import accounts, audit, leads
from billing.credit import corrections
from db.session import transaction
from devstack import ports
from devstack.errors import DevstackError
from service import standard_webhooks

CLINIC = "clinic:demo-1"
POOR_CLINIC = "clinic:demo-2"
ACCOUNTS = {CLINIC: ("Demo Clinic, Indiranagar", 5_000), POOR_CLINIC: ("Demo Clinic, Hampi", 50)}
PACKAGE_PRICE_PAISE = 1_200_000
CREDITS = 250
"""What a package of Rs 12,000 costs by the tiers of catalog.toml."""
LOW_BALANCE = 500
OUTCOME_SECONDS = 30


@dataclass(frozen=True)
class Lead:
    """One lead event as it is sent; sending it again sends the same bytes."""

    event_id: str
    lead_id: str
    account: str
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """What came of a lead."""

    state: str
    credits: int
    balance_before: int
    balance_after: int


def make_accounts() -> None:
    """Make the demo accounts that do not exist, with their credit; top up one that ran low."""
    for ref, (name, amount) in ACCOUNTS.items():
        with audit.asked_by("devstack:demo", door="cli"), transaction() as session:
            account = accounts.find(session, ref)
            if account is None:
                accounts.create(session, ref=ref, name=name, product="clinic_leads")
                key, reason = f"demo:{ref}:goodwill", "demo account"
            elif ref == CLINIC and account.balance < LOW_BALANCE:
                key, reason = f"demo:{ref}:{secrets.token_hex(8)}", "demo account ran low"
            else:
                continue
            corrections.credit(
                session, account=ref, amount=amount, reason=reason, actor="devstack",
                idempotency_key=key,
            )  # fmt: skip


def new_lead(account: str = CLINIC) -> Lead:
    """Return an event for a lead that never was before."""
    lead_id = f"demo-{secrets.token_hex(6)}"
    body = {
        "type": "lead.created",
        "timestamp": clock.now().isoformat(),
        "data": {
            "lead_id": lead_id,
            "account": account,
            "package_price_paise": PACKAGE_PRICE_PAISE,
            "source": "demo",
        },
    }
    return Lead(f"evt_{secrets.token_hex(8)}", lead_id, account, json.dumps(body).encode())


def send(lead: Lead, *, port: int) -> int:
    """POST the event, signed as a platform signs it; return the HTTP status."""
    secret = settings.get().lead_webhook_secrets[0].get_secret_value()
    timestamp = int(clock.now().timestamp())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": lead.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_webhooks.sign(
            secret, message_id=lead.event_id, timestamp=timestamp, body=lead.body
        ),
    }
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=10)
    try:
        connection.request("POST", "/webhooks/leads", lead.body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def status_address(lead: Lead) -> str:
    """Return the API's address of a lead."""
    return f"/v1/leads/{lead.lead_id}"


def api_key() -> str:
    """Return a key that the API takes: the first of API_KEYS."""
    return next(iter(settings.get().api_keys.values())).get_secret_value()


def flower_login() -> str:
    """Return the Authorization header that opens Flower: the first of FLOWER_BASIC_AUTH."""
    login = settings.flower_logins()[0]
    return f"Basic {base64.b64encode(f'{login.user}:{login.password}'.encode()).decode()}"


def balance(account: str) -> int:
    """Return the credits of an account."""
    with transaction() as session:
        found = accounts.find(session, account)
        if found is None:
            raise DevstackError(f"the demo account {account} is gone")
        return found.balance


def send_and_wait(lead: Lead, *, port: int) -> Outcome:
    """Send a lead and return what came of it; raise `DevstackError` if nothing did in time."""
    before = balance(lead.account)
    status = send(lead, port=port)
    if status != 202:
        raise DevstackError(f"the receiver answered {status} to a signed lead event, not 202")
    deadline = time.monotonic() + OUTCOME_SECONDS
    while time.monotonic() < deadline:
        with transaction() as session:
            charge = leads.find_lead(session, lead.lead_id)
            if charge is not None:
                state, amount = charge.state, charge.credits
                break
        time.sleep(0.1)
    else:
        raise DevstackError(
            f"the lead event {lead.event_id} was accepted, but has no outcome after"
            f" {OUTCOME_SECONDS} s: the worker did not handle it"
        )
    return Outcome(state, amount, before, balance(lead.account))
