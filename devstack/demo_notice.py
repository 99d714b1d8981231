"""The demo of a notice: a lead makes an account's credit low, which a receiver and its owner hear.

The receiver lives in this process; its endpoint has a lease, so that a killed demo leaves none.
Used by `run.py` to show it, and by `smoke.py` to prove it.
"""

import json
import queue
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import clock
from billing import accounts, audit
from billing.credit import corrections
from billing.notices import contacts, endpoints, mail_queries
from db.pages import Wanted
from db.session import transaction
from devstack import demo, ports, probes
from devstack.errors import DevstackError
from service import standard_webhooks
from service.signatures import SignatureError

CLINIC = "clinic:demo-3"
NAME = "Demo Clinic, Jaipur"
OWNER = "owner@demo-clinic.example"
TOPIC = "balance.low"
ENOUGH = 700
"""One lead makes of it less than `demo.LOW_BALANCE`."""
LEASE = timedelta(minutes=2)
ARRIVES_SECONDS = 30
DEMO = "devstack:demo"


@dataclass(frozen=True)
class Arrived:
    """A notice as the receiver got it."""

    notice_id: str
    type: str
    account: str
    sequence: int
    verified: bool
    milliseconds: int
    """From the row's time to its arrival, by one clock."""


@dataclass(frozen=True)
class MailSeen:
    """A mail as it stands in the sink."""

    mail_id: str
    subject: str


def make_ready(*, with_mail: bool) -> None:
    """Make the account that does not exist, with enough credit and, if it may, its contact.

    Without the sink it has no contact: nobody's mail server is asked to write to a demo.
    """
    with audit.asked_by(DEMO, door="cli"), transaction() as session:
        account = accounts.find(session, CLINIC)
        balance = account.balance if account else 0
        if account is None:
            accounts.create(session, ref=CLINIC, name=NAME, product="clinic_leads")
        if not demo.LOW_BALANCE < balance <= ENOUGH:
            corrections.adjust(
                session, account=CLINIC, amount=ENOUGH - balance, reason="demo of a low balance",
                actor="devstack", idempotency_key=f"demo:{CLINIC}:{secrets.token_hex(8)}",
            )  # fmt: skip
    with audit.asked_by(DEMO, door="cli"), transaction() as session:
        has = [one for one in contacts.list_of(session, account=CLINIC) if one.address == OWNER]
        if with_mail and not has:
            contacts.add(
                session, account=CLINIC, address=OWNER, topics=("*",), actor="devstack",
                confirmed=True,
            )  # fmt: skip
        for one in () if with_mail else has:
            contacts.remove(session, one.contact_id)


def cause_and_wait(*, receiver_port: int) -> Arrived:
    """Send a lead that makes the credit low; return the notice about it, as it arrived.

    Raises `DevstackError` if none arrives in time.
    """
    with _receiver() as taken:
        with audit.asked_by(DEMO, door="cli"), transaction() as session:
            endpoint = endpoints.add(
                session, url=f"http://{ports.HOST}:{taken.port}/notices", product=None,
                account=CLINIC, topics=(TOPIC,), description="demo", actor="devstack",
                lease_until=clock.real_now() + LEASE,
            )  # fmt: skip
        try:
            demo.send_and_wait(demo.new_lead(CLINIC), port=receiver_port)
            delivery = taken.wait()
        finally:
            with audit.asked_by(DEMO, door="cli"), transaction() as session:
                endpoints.remove(session, endpoint.endpoint_id)
    return _read(delivery, endpoint.secret)


def wait_for_mail(notice: Arrived, *, sink_port: int) -> MailSeen | None:
    """Return the mail about the notice from the sink.

    None: there is to be none, as today's of its kind was sent before, or its reader stopped them.
    Raises `DevstackError` if it does not come in time.
    """
    with transaction() as session:
        due = mail_queries.list_newest(session, Wanted(limit=20), account=CLINIC).rows
    if not any(f"ntc_{mail.notice_id}" == notice.notice_id for mail in due):
        return None  # the mails of a notice are written before it is sent
    deadline = time.monotonic() + ARRIVES_SECONDS
    while time.monotonic() < deadline:
        for mail in _in_sink(sink_port):
            if OWNER in mail["to"] and _is_of_now(mail):
                return MailSeen(mail["id"], mail["subject"])
        time.sleep(0.1)
    raise DevstackError(
        f"the mail about {notice.notice_id} did not come to the sink within {ARRIVES_SECONDS} s:"
        " the process `notices` did not send it"
    )


@dataclass(frozen=True)
class _Delivery:
    headers: dict[str, str]
    body: bytes
    at: datetime
    real_at: datetime


class _Taken:
    """What came to the receiver."""

    def __init__(self) -> None:
        self.deliveries: queue.Queue[_Delivery] = queue.Queue()
        self.port = 0

    def wait(self) -> _Delivery:
        try:
            return self.deliveries.get(timeout=ARRIVES_SECONDS)
        except queue.Empty:
            raise DevstackError(
                f"the credit of {CLINIC} is low, and no notice of it arrived within"
                f" {ARRIVES_SECONDS} s: the process `notices` did not send it"
            ) from None


@contextmanager
def _receiver() -> Iterator[_Taken]:
    """Run a receiver of notices for as long as the block lasts."""
    taken = _Taken()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at, real_at = clock.now(), clock.real_now()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(204)
            self.end_headers()
            taken.deliveries.put(_Delivery(headers, body, at, real_at))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((ports.HOST, 0), Handler)
    taken.port = server.server_port
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _read(delivery: _Delivery, secret: str) -> Arrived:
    """Return what a delivery says, verified as a platform verifies it."""
    try:
        standard_webhooks.verify(
            (secret,),
            message_id=delivery.headers.get("webhook-id"),
            timestamp=delivery.headers.get("webhook-timestamp"),
            signatures=delivery.headers.get("webhook-signature"),
            body=delivery.body,
            now=delivery.real_at,
        )
        verified = True
    except SignatureError:
        verified = False
    notice = json.loads(delivery.body)
    since = delivery.at - datetime.fromisoformat(notice["timestamp"])
    return Arrived(
        notice_id=delivery.headers.get("webhook-id", ""),
        type=notice["type"],
        account=notice["data"]["account"],
        sequence=notice["data"]["sequence"],
        verified=verified,
        milliseconds=round(since / timedelta(milliseconds=1)),
    )


def _in_sink(port: int) -> list[dict[str, Any]]:
    status, body = probes.http_get(port, "/mails.json")
    mails: list[dict[str, Any]] = json.loads(body)["mails"] if status == 200 else []
    return mails


def _is_of_now(mail: dict[str, Any]) -> bool:
    """Tell whether a mail came since about the lead: the sink keeps those of earlier runs."""
    received_at = datetime.fromisoformat(mail["received_at"])
    return clock.now() - received_at < timedelta(seconds=2 * ARRIVES_SECONDS)
