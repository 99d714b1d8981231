"""The client over HTTP: typed results and errors, retries under one key, every try signed anew."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

import clock
from billing_client import (
    Accepted,
    BillingClient,
    BillingError,
    InvalidRequest,
    LeadState,
    LeadStatus,
    LeadUnknown,
    Refused,
    Unauthorized,
    Unreachable,
    http,
    signing,
)
from devstack import ports
from service import standard_webhooks
from tests.billing.given import balance, open_account
from tests.billing_client.scripted_server import Reply, ScriptedServer
from tests.conftest import LEAD_SECRET
from tests.tasks.given import inbox_rows, work
from tests.webhook_receiver.receiver_process import ReceiverProcess, one_process

LEAD: dict[str, Any] = {
    "lead_id": "L-1", "account": "clinic:42", "package_price_paise": 600_000,
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries in hundredths of a second."""
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def receiver(database: str, tmp_path: Path) -> Iterator[ReceiverProcess]:
    with one_process(tmp_path / "receiver.log", DATABASE_URL=database) as running:
        yield running


def client_of(url: str, **options: Any) -> BillingClient:
    return BillingClient(
        receiver_url=url, webhook_secret=LEAD_SECRET, api_url=url, api_key="k-1", **options
    )


def test_leads_are_recorded_by_the_receiver_and_charged(receiver: ReceiverProcess) -> None:
    open_account(credits_=10_000)
    moment = datetime(2026, 11, 20, 10, tzinfo=UTC)
    with client_of(f"http://{ports.HOST}:{receiver.port}/") as client:
        # When a lead is sent, and sent again under its key, and others in a list
        first = client.charge_lead(**LEAD, occurred_at=moment, idempotency_key="our-key-1")
        again = client.charge_lead(**LEAD, occurred_at=moment, idempotency_key="our-key-1")
        several = client.charge_leads(
            [{**LEAD, "lead_id": "L-2"}, {**LEAD, "account": ""}, {**LEAD, "lead_id": "L-3"}]
        )
    # Then all are recorded, the repeat is recognised, and what is wrong was not sent
    assert first == Accepted("L-1", "our-key-1", seen_before=False)
    assert again == Accepted("L-1", "our-key-1", seen_before=True)
    good, bad, other = several
    assert isinstance(good, Accepted)
    assert isinstance(bad, InvalidRequest)
    assert isinstance(other, Accepted)
    assert (good.lead_id, other.lead_id) == ("L-2", "L-3")
    work()
    assert [row[:2] for row in inbox_rows()] == [("done", "charged")] * 3
    assert balance() == 10_000 - 3 * 180


def test_a_wrong_secret_is_told_as_such(receiver: ReceiverProcess) -> None:
    wrong = "whsec_" + "b3RoZXItc2VjcmV0LW9mLTMyLWJ5dGVzLW9mLWl0cyE="
    url = f"http://{ports.HOST}:{receiver.port}"
    with (
        BillingClient(receiver_url=url, webhook_secret=wrong) as client,
        pytest.raises(Unauthorized, match="401: no listed signature fits") as caught,
    ):
        client.charge_lead(**LEAD)
    assert wrong not in str(caught.value)


def test_tries_share_key_body_and_a_signature_that_the_receiver_takes() -> None:
    with (
        ScriptedServer(Reply(503), Reply(0), Reply(500), Reply(202)) as server,
        client_of(server.url) as client,
    ):
        accepted = client.charge_lead(**LEAD)

    assert len(server.asked) == 4
    assert {asked.headers["webhook-id"] for asked in server.asked} == {accepted.event_id}
    assert len({asked.body for asked in server.asked}) == 1
    for asked in server.asked:
        standard_webhooks.verify(
            [LEAD_SECRET],
            message_id=accepted.event_id,
            timestamp=asked.headers["webhook-timestamp"],
            signatures=asked.headers["webhook-signature"],
            body=asked.body,
            now=clock.now(),
        )


def test_the_published_library_computes_the_same_signature() -> None:
    body = '{"lead": "ಆಶಾ"}'
    at = datetime(2026, 11, 21, tzinfo=UTC)
    expected = standardwebhooks.Webhook(LEAD_SECRET).sign("msg_1", at, body)
    own = signing.Signer(LEAD_SECRET).sign("msg_1", int(at.timestamp()), body.encode())
    assert own == expected


def test_a_server_that_says_when_to_come_again_is_heard() -> None:
    with (
        ScriptedServer(Reply(503, headers={"Retry-After": "1"}), Reply(202)) as server,
        client_of(server.url) as client,
    ):
        started = time.monotonic()
        client.charge_lead(**LEAD)
    assert 1 <= time.monotonic() - started < 5
    assert len(server.asked) == 2


@pytest.mark.parametrize("reply", [Reply(503, {"error": "come again"}), Reply(0)], ids=str)
def test_after_all_tries_the_error_carries_the_key_to_call_again_with(reply: Reply) -> None:
    with ScriptedServer(reply) as server, client_of(server.url, retries=2) as client:
        with pytest.raises(Unreachable) as caught:
            client.charge_lead(**LEAD)

        assert len(server.asked) == 3
        assert caught.value.idempotency_key == server.asked[0].headers["webhook-id"]


def test_nobody_there_and_somebody_silent_are_unreachable() -> None:
    with (
        client_of(f"http://{ports.HOST}:{ports.find_free()}", retries=1) as client,
        pytest.raises(Unreachable, match="cannot be reached: NewConnectionError"),
    ):
        client.charge_lead(**LEAD)
    with (
        socket.create_server((ports.HOST, 0)) as silent,
        client_of(
            f"http://{ports.HOST}:{silent.getsockname()[1]}", retries=1, timeout_seconds=0.2
        ) as client,
        pytest.raises(Unreachable, match="ReadTimeoutError"),
    ):
        client.charge_lead(**LEAD)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (401, Unauthorized), (403, Unauthorized), (413, Refused), (302, Refused)],
)
def test_a_refusal_is_not_tried_again(status: int, kind: type[BillingError]) -> None:
    with ScriptedServer(Reply(status, {"error": "because"})) as server:
        with client_of(server.url) as client, pytest.raises(kind, match=f"{status}: because"):
            client.charge_lead(**LEAD)
        assert len(server.asked) == 1


def test_the_outcome_of_a_lead_is_asked_with_the_key() -> None:
    lead = {"lead_id": "L/1 ?", "account": "clinic:42", "state": "charged", "credits": 180, "x": 1}
    with ScriptedServer(Reply(200, lead)) as server, client_of(server.url) as client:
        assert client.lead_status("L/1 ?") == LeadStatus(
            "L/1 ?", "clinic:42", LeadState.CHARGED, 180
        )
    [asked] = server.asked
    assert (asked.method, asked.path) == ("GET", "/v1/leads/L%2F1%20%3F")
    assert asked.headers["authorization"] == "Bearer k-1"


UNKNOWN = {"type": "urn:problem-type:billing:unknown-lead", "detail": "no lead L-1"}


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (Reply(404, UNKNOWN), LeadUnknown, "no lead L-1"),
        (Reply(404, {"type": "about:blank", "detail": "unknown path"}), Refused, "unknown path"),
        (Reply(401, {"detail": "unknown key"}), Unauthorized, "401: unknown key"),
        (Reply(422, {"title": "bad field"}), Refused, "422: bad field"),
        (Reply(200, ["no lead"]), Refused, "check api_url"),
        (Reply(500), Unreachable, "500 after all retries: the answer gives no reason"),
    ],
    ids=str,
)
def test_problems_with_asking_are_typed(
    reply: Reply, kind: type[BillingError], message: str
) -> None:
    with (
        ScriptedServer(reply) as server,
        client_of(server.url, retries=1) as client,
        pytest.raises(kind, match=message),
    ):
        client.lead_status("L-1")


def test_one_client_serves_many_threads() -> None:
    with ScriptedServer(Reply(202)) as server, client_of(server.url) as client:
        leads = [{**LEAD, "lead_id": f"L-{number}"} for number in range(200)]
        with ThreadPoolExecutor(20) as threads:
            results = list(threads.map(lambda lead: client.charge_lead(**lead), leads))
    assert [result.lead_id for result in results] == [lead["lead_id"] for lead in leads]
    sent = [json.loads(asked.body)["data"]["lead_id"] for asked in server.asked]
    assert sorted(sent) == sorted(str(lead["lead_id"]) for lead in leads)


A_WORKER_IS_FORKED = """
import os, sys
from billing_client import BillingClient

client = BillingClient(base_url=sys.argv[1], api_key="k-1", retries=0)
client.lead_status("L-parent")
worker = os.fork()
if worker:
    os.waitpid(worker, 0)
    client.lead_status("L-parent")
else:
    client.lead_status("L-worker")
    client.lead_status("L-worker")
"""


def test_a_forked_worker_has_connections_of_its_own() -> None:
    # On one connection each would read answers to the other's requests, of any customer.
    with ScriptedServer(Reply(200, {"lead_id": "L", "account": "c:1", "state": "charged",
                                    "credits": 1})) as server:  # fmt: skip
        command = [sys.executable, "-c", A_WORKER_IS_FORKED, server.url]
        subprocess.run(command, check=True, timeout=30)
    ports_of = {
        who: {asked.port for asked in server.asked if asked.path.endswith(who)}
        for who in ("parent", "worker")
    }
    assert (len(ports_of["parent"]), len(ports_of["worker"])) == (1, 1)
    assert ports_of["parent"] != ports_of["worker"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"receiver_url": "billing.example"}, "receiver_url: must be an http"),
        ({"webhook_secret": "whsec_c2hvcnQ="}, "webhook_secret: must be whsec_"),
        ({"timeout_seconds": 0}, "timeout_seconds: must be more than 0"),
        ({"timeout_seconds": "x"}, "timeout_seconds: must be a number, not str"),
        ({"retries": "x"}, "retries: must be a whole number"),
        ({"api_url": "http://[::1"}, "api_url: must have a host"),
        ({"api_url": "http://"}, "api_url: must have a host"),
        ({"api_url": "http://me:S3cret@h:port"}, "api_url: must have a host"),
        ({"receiver_url": "http://h x"}, "receiver_url: must have a host"),
        ({"receiver_url": "http://h/?a=1"}, "receiver_url: must have a host"),
        ({"api_key": "bk_S3cret\n"}, "api_key: must hold only ASCII letters"),
        ({"api_key": "bk_S3cret ಆ"}, "api_key: must hold only ASCII letters"),
        ({"api_key": ""}, "api_key: must hold only ASCII letters"),
        ({"api_key": b"bk_S3cret"}, "api_key: must hold only ASCII letters"),
        ({"webhook_secret": LEAD_SECRET + "\n"}, "webhook_secret: must be whsec_"),
        ({"webhook_secret": LEAD_SECRET.encode()}, "webhook_secret: must be whsec_"),
        ({"webhook_secret": "whsec_ಆ"}, "webhook_secret: must be whsec_"),
        ({"retries": -1}, "retries: must be a whole number"),
        ({"retries": 12}, "retries and timeout_seconds: a call must not outlast its signature"),
    ],
)
def test_a_client_that_cannot_work_is_not_made(options: dict[str, Any], message: str) -> None:
    given = {"receiver_url": "http://x", "webhook_secret": LEAD_SECRET, **options}
    with pytest.raises(InvalidRequest, match=re.escape(message)) as caught:
        BillingClient(**given)
    for secret in ("S3cret", LEAD_SECRET):
        assert secret not in f"{caught.value} {caught.value.__context__}"


@pytest.mark.parametrize("lead_id", [".", ".."])
def test_a_lead_whose_id_is_a_step_in_a_path_is_not_asked_for(lead_id: str) -> None:
    with ScriptedServer(Reply(200)) as server, client_of(server.url) as client:
        with pytest.raises(InvalidRequest, match=re.escape("lead_id: . and ..")):
            client.lead_status(lead_id)
        assert server.asked == []


def test_what_a_call_needs_and_the_client_has_not_is_named() -> None:
    client = BillingClient()
    with pytest.raises(InvalidRequest, match="receiver_url and webhook_secret are needed"):
        client.charge_lead(**LEAD)
    with pytest.raises(
        InvalidRequest, match=r"are needed to call the API: api_url and api_key not set"
    ):
        client.lead_status("L-1")
    # And only what is missing is said to be so
    with pytest.raises(InvalidRequest, match=r"to call the API: api_key not set"):
        BillingClient(base_url="http://x").lead_status("L-1")
    with pytest.raises(InvalidRequest, match=r"to charge leads: webhook_secret not set"):
        BillingClient(base_url="http://x").charge_lead(**LEAD)
