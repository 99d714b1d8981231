"""What is the async client's own; `test_jobs.py` tries what both clients share."""

import asyncio
import inspect
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import pytest

from billing_client import (
    Accepted,
    AsyncBillingClient,
    BillingClient,
    BillingError,
    InvalidRequest,
    LeadStatus,
    LeadUnknown,
    Refused,
    Unauthorized,
    Unreachable,
    async_http,
    http,
    use_request_id,
)
from devstack import ports
from tests.billing_client.scripted_server import Reply, ScriptedServer
from tests.conftest import LEAD_SECRET

_T = TypeVar("_T")

LEAD: dict[str, Any] = {
    "lead_id": "L-1", "account": "clinic:42", "package_price_paise": 600_000,
}  # fmt: skip
CHARGED = {
    "transaction_id": 7, "account": "clinic:42", "amount": 5, "balance": 95, "held": 0,
    "available": 95,
}  # fmt: skip
FOUND = {"lead_id": "L-1", "account": "clinic:42", "state": "charged", "credits": 180}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries in hundredths of a second."""
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.01)


def ask(url: str, job: Callable[[AsyncBillingClient], Awaitable[_T]], **options: Any) -> _T:
    """Run a job with a client of its own, in a loop of its own."""

    async def run() -> _T:
        given = {"base_url": url, "webhook_secret": LEAD_SECRET, "api_key": "k-1", **options}
        async with AsyncBillingClient(**given) as client:
            return await job(client)

    return asyncio.run(run())


def methods(kind: type) -> dict[str, Any]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: method for name, method in found if not name.startswith("_")}


def test_it_has_the_methods_of_the_other_client_with_the_same_arguments() -> None:
    assert methods(AsyncBillingClient).keys() == methods(BillingClient).keys()
    for name, method in methods(BillingClient).items():
        twin = methods(AsyncBillingClient)[name]
        assert inspect.signature(twin).parameters == inspect.signature(method).parameters, name
        assert twin.__doc__ == method.__doc__ or name == "close", name
        returned, of_twin = (get_type_hints(one)["return"] for one in (method, twin))
        if get_origin(returned) is Iterator:
            assert get_origin(of_twin) is AsyncIterator, name
            assert get_args(of_twin) == get_args(returned), name
        else:
            assert inspect.iscoroutinefunction(twin), name
            assert of_twin == returned, name
    made = [inspect.signature(kind).parameters for kind in (BillingClient, AsyncBillingClient)]
    assert made[0] == made[1]


def test_tries_share_key_and_body_and_the_signature() -> None:
    with ScriptedServer(Reply(503), Reply(0), Reply(500), Reply(202)) as server:
        accepted = ask(server.url, lambda client: client.charge_lead(**LEAD))
    assert isinstance(accepted, Accepted)
    assert len(server.asked) == 4
    assert {asked.headers["webhook-id"] for asked in server.asked} == {accepted.event_id}
    assert len({(asked.body, asked.headers["webhook-signature"]) for asked in server.asked}) == 1


@pytest.mark.parametrize(
    "job",
    [
        lambda client: client.charge_lead(**LEAD, idempotency_key="our-key"),
        lambda client: client.lead_status("L/1 ?"),
        lambda client: client.charge_credits("clinic:42", 5, idempotency_key="our-key"),
    ],
    ids=["signed", "asked", "keyed"],
)
def test_both_clients_send_the_same(
    job: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    with ScriptedServer(Reply(500)) as server:
        given = {"base_url": server.url, "webhook_secret": LEAD_SECRET, "api_key": "k-1"}
        with (
            use_request_id("ours-of-today"),
            BillingClient(retries=0, **given) as client,  # type: ignore[arg-type]
            pytest.raises(Unreachable),
        ):
            job(client)
        with use_request_id("ours-of-today"), pytest.raises(Unreachable):
            ask(server.url, job, retries=0)
    of_sync, of_async = server.asked
    beside = {"accept-encoding", "connection", "accept"}  # what the libraries add by themselves
    for asked in (of_sync, of_async):
        for name in beside:
            asked.headers.pop(name, None)
    assert of_sync == of_async
    assert of_sync.headers["x-request-id"] == "ours-of-today"


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (
            Reply(404, {"type": "urn:problem-type:billing:unknown-lead", "detail": "no lead L-1"}),
            LeadUnknown,
            "no lead L-1",
        ),
        (Reply(401, {"detail": "unknown key"}), Unauthorized, "401: unknown key"),
        (Reply(302, headers={"location": "/else"}), Refused, "302"),
        (Reply(200, ["no lead"]), Refused, "check api_url"),
        (Reply(500), Unreachable, "500 after all retries: the answer gives no reason"),
        (Reply(0), Unreachable, "cannot be reached: RemoteProtocolError"),
    ],
    ids=str,
)
def test_problems_are_typed(reply: Reply, kind: type[BillingError], message: str) -> None:
    with ScriptedServer(reply) as server, pytest.raises(kind, match=message):
        ask(server.url, lambda client: client.lead_status("L-1"), retries=1)


def test_after_all_tries_the_error_carries_the_key_to_call_again_with() -> None:
    with ScriptedServer(Reply(503, {"error": "come again"})) as server:
        with pytest.raises(Unreachable) as caught:
            ask(server.url, lambda client: client.charge_credits("clinic:42", 5), retries=2)
        assert len(server.asked) == 3
        assert caught.value.idempotency_key == server.asked[0].headers["idempotency-key"]


def test_nobody_there_and_somebody_silent_are_unreachable() -> None:
    nobody = f"http://{ports.HOST}:{ports.find_free()}"
    with pytest.raises(Unreachable, match="cannot be reached: ConnectError"):
        ask(nobody, lambda client: client.lead_status("L-1"), retries=1)
    with (
        socket.create_server((ports.HOST, 0)) as silent,
        pytest.raises(Unreachable, match="cannot be reached: ReadTimeout"),
    ):
        ask(
            f"http://{ports.HOST}:{silent.getsockname()[1]}",
            lambda client: client.lead_status("L-1"),
            retries=1,
            timeout_seconds=0.2,
        )


def test_nothing_of_the_environment_and_of_the_server_changes_what_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    # Given a proxy and a netrc that others have set, and a server that sets a cookie
    monkeypatch.setenv("ALL_PROXY", f"http://{ports.HOST}:{ports.find_free()}")
    monkeypatch.setenv("HTTP_PROXY", f"http://{ports.HOST}:{ports.find_free()}")
    (tmp_path / "netrc").write_text(f"machine {ports.HOST} login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    async def twice(client: AsyncBillingClient) -> None:
        await client.lead_status("L-1")
        await client.lead_status("L-1")

    with ScriptedServer(Reply(200, FOUND, {"set-cookie": "a=b"})) as server:
        ask(server.url.replace("//", "//me:secret@"), twice)
    # Then the requests go straight there, with the key and nothing else
    for asked in server.asked:
        assert asked.headers["authorization"] == "Bearer k-1"
        assert "cookie" not in asked.headers


def test_one_client_serves_many_tasks_over_few_connections() -> None:
    async def all_at_once(client: AsyncBillingClient) -> list[LeadStatus]:
        return await asyncio.gather(*[client.lead_status("L-1") for _ in range(100)])

    with ScriptedServer(Reply(200, FOUND)) as server:
        found = ask(server.url, all_at_once)
    assert [one.state for one in found] == ["charged"] * 100
    assert len({asked.port for asked in server.asked}) <= async_http.REQUESTS_AT_ONCE


def test_leads_are_sent_a_few_at_a_time_and_each_has_its_result() -> None:
    leads = [{**LEAD, "lead_id": f"L-{number}"} for number in range(30)]
    leads[7] = {**LEAD, "account": ""}
    with ScriptedServer(Reply(202)) as server:
        results = ask(server.url, lambda client: client.charge_leads(iter(leads)))
    assert isinstance(results[7], InvalidRequest)
    sent = [json.loads(asked.body)["data"]["lead_id"] for asked in server.asked]
    accepted = [one.lead_id for one in results if isinstance(one, Accepted)]
    assert accepted == [f"L-{number}" for number in range(30) if number != 7]
    assert sorted(sent) == sorted(accepted)


def test_a_call_that_is_cancelled_leaves_its_key() -> None:
    async def wait_a_moment(client: AsyncBillingClient) -> None:
        async with asyncio.timeout(0.2):
            await client.charge_credits("clinic:42", 5, idempotency_key="our-key")

    with socket.create_server((ports.HOST, 0)) as silent:
        url = f"http://{ports.HOST}:{silent.getsockname()[1]}"
        with pytest.raises(TimeoutError) as caught:
            ask(url, wait_a_moment)
    [note] = caught.value.__cause__.__notes__  # type: ignore[union-attr]
    assert "repeat it with idempotency_key='our-key'" in note


def test_after_a_cancelled_call_the_client_works_on() -> None:
    async def work(client: AsyncBillingClient) -> str:
        call = asyncio.ensure_future(client.lead_status("L-1"))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return (await client.lead_status("L-1")).state

    with ScriptedServer(Reply(503, headers={"Retry-After": "9"}), Reply(200, FOUND)) as server:
        assert ask(server.url, work) == "charged"


def test_a_client_of_another_loop_is_refused_not_hung() -> None:
    with ScriptedServer(Reply(200, FOUND)) as server:
        client = AsyncBillingClient(base_url=server.url, api_key="k-1")

        async def use() -> None:
            await client.lead_status("L-1")

        async def use_and_close() -> None:
            await use()
            await client.close()

        asyncio.run(use_and_close())
        with pytest.raises(InvalidRequest, match="belongs to another event loop"):
            asyncio.run(use())


def test_a_client_that_is_closed_says_so() -> None:
    async def use() -> None:
        async with AsyncBillingClient(base_url=server.url, api_key="k-1") as client:
            await client.lead_status("L-1")
        await client.lead_status("L-1")

    with (
        ScriptedServer(Reply(200, FOUND)) as server,
        pytest.raises(InvalidRequest, match="is closed"),
    ):
        asyncio.run(use())


def test_what_a_call_needs_and_the_client_has_not_is_named() -> None:
    with pytest.raises(InvalidRequest, match="receiver_url and webhook_secret are needed"):
        ask("http://x", lambda client: client.charge_lead(**LEAD), webhook_secret=None)
    with pytest.raises(InvalidRequest, match="api_url and api_key are needed"):
        ask("http://x", lambda client: client.lead_status("L-1"), api_key=None)
