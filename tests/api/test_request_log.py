"""What is noted of the API's requests, by the API as it runs: never what a stranger wrote."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis

from api import request_writer
from service import recent_requests
from service.recent_requests import RecentRequest
from tests.api.api_process import ApiProcess
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import open_account
from tests.redis_servers import PASSWORD, running
from tests.stack_process import eventually

pytestmark = pytest.mark.usefixtures("house")

SECRETIVE = "asha.rao@example.com"


SETTLED_SECONDS = 3 * request_writer.PAUSE_SECONDS


@pytest.fixture
def redis(redis: Redis) -> Redis:
    """The broker without notes: also those of earlier tests, whose API writes them a moment later.

    Requests of other tests to the same API are noted after a pause; until then this waits.
    """
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < SETTLED_SECONDS:
        if redis.delete(*recent_requests.STREAMS):
            quiet_since = time.monotonic()
        time.sleep(0.02)
    return redis


@pytest.fixture
def clinic(number: int) -> str:
    """An account with 1,000 credits."""
    return open_account(f"clinic:{number}", credits_=1_000)


def noted(redis: Redis, count: int) -> list[RecentRequest]:
    """The requests that were noted, the newest first, once there are so many."""

    def read() -> list[RecentRequest]:
        return [request for _, request in recent_requests.newest_first(redis)]

    eventually(f"{count} requests are noted", lambda: len(read()) >= count)
    assert len(read()) == count
    return read()


def test_each_request_is_noted_with_who_what_and_how_it_ended(
    api: ApiProcess, redis: Redis, clinic: str
) -> None:
    own_client = ("user-agent", "credit-billing-client/0.1.0 (async)")
    answer = api.ask(f"/v1/accounts/{clinic}", HOUSE_KEY, more=[own_client])

    [one] = noted(redis, 1)

    assert answer.status == 200
    assert one.request_id == answer.headers["x-request-id"]
    assert (one.method, one.route, one.status) == ("GET", "/v1/accounts/{ref}", 200)
    assert (one.caller, one.account) == ("house", clinic)
    assert one.client == "credit-billing-client/0.1.0"
    assert (one.problem, one.replayed) == (None, False)
    assert 0 < one.duration_ms < 20_000


def test_the_request_that_opened_an_account_is_noted_with_it(
    api: ApiProcess, redis: Redis, number: int
) -> None:
    body = {"ref": f"clinic:{number}", "name": "A", "product": "clinic_leads"}
    api.post("/v1/accounts", HOUSE_KEY, body, once=f"open-{number}")

    [one] = noted(redis, 1)

    assert (one.status, one.account) == (201, f"clinic:{number}")


def test_a_repeat_is_noted_as_one(api: ApiProcess, redis: Redis, clinic: str) -> None:
    body = {"account": clinic, "amount": 5}
    api.post("/v1/charges", HOUSE_KEY, body, once=f"once-{clinic}")
    api.post("/v1/charges", HOUSE_KEY, body, once=f"once-{clinic}")

    found = noted(redis, 2)

    assert [one.replayed for one in found] == [True, False]
    assert {one.request for one in found} == {"POST /v1/charges"}


def test_a_refusal_is_noted_with_its_kind(api: ApiProcess, redis: Redis) -> None:
    api.ask("/v1/leads/no-such-lead", HOUSE_KEY)

    [one] = noted(redis, 1)

    assert (one.status, one.problem, one.caller) == (404, "unknown-lead", "house")
    assert one.route == "/v1/leads/{lead_id}"


def test_a_request_without_a_valid_key_has_no_caller(api: ApiProcess, redis: Redis) -> None:
    api.ask("/v1/accounts/clinic:1")
    api.ask("/v1/accounts/clinic:1", "bk_made-up-by-a-stranger")

    found = noted(redis, 2)

    assert [(one.status, one.caller, one.account) for one in found] == [(401, None, None)] * 2
    assert {one.route for one in found} == {"/v1/accounts/{ref}"}


def test_a_request_that_no_view_sees_is_noted_too(
    api: ApiProcess, redis: Redis, clinic: str
) -> None:
    # Given a key that each process of the API has seen to be valid
    for _ in range(8):
        api.ask(f"/v1/accounts/{clinic}", HOUSE_KEY)

    # When it sends what is refused unread, or by another method
    api.post("/v1/holds", HOUSE_KEY, b"x" * 2_000_000)
    api.post(f"/v1/disputes/{SECRETIVE}/withdraw", "a-key-of-a-stranger", b"x" * 2_000_000)
    api.ask("/v1/holds", HOUSE_KEY, method="PUT")
    api.ask("/v1/holds", HOUSE_KEY, method="BREW")

    # Then both are noted with their routes, and with the caller if it is known
    refused = {(one.request, one.status): one.caller for one in noted(redis, 12)}
    assert refused.pop(("GET /v1/accounts/{ref}", 200)) == "house"
    assert refused.pop(("POST /v1/disputes/{dispute_id}/withdraw", 413)) is None
    assert refused.pop(("PUT /v1/holds", 405)) is None  # before a key is looked at
    assert refused.pop(("(other) /v1/holds", 405)) is None
    assert refused.keys() == {("POST /v1/holds", 413)}


def test_probes_and_the_page_of_the_document_are_not_noted(api: ApiProcess, redis: Redis) -> None:
    api.get("/healthz")
    api.get("/readyz")
    assert api.get("/docs").status == 200
    assert api.get("/docs/page.css").status == 200
    api.get("/openapi.json")

    [one] = noted(redis, 1)

    assert one.request == "GET /openapi.json"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (f"/v1/accounts/{SECRETIVE}", "/v1/accounts/{ref}"),
        (f"/v1/leads/{SECRETIVE}", "/v1/leads/{lead_id}"),
        (f"/{SECRETIVE}", None),
        (f"/v1/leads/x?name={SECRETIVE}", "/v1/leads/{lead_id}"),
        ("/%00%1b[31m" + SECRETIVE, None),
        ("/v1/accounts/%ff%fe" + SECRETIVE, "/v1/accounts/{ref}"),
    ],
)
@pytest.mark.parametrize("key", [None, HOUSE_KEY])
def test_nothing_that_a_stranger_wrote_is_noted(
    api: ApiProcess, redis: Redis, path: str, route: str | None, key: str | None
) -> None:
    more = [
        ("user-agent", f"Mozilla/5.0 ({SECRETIVE})"),
        ("x-request-id", SECRETIVE),
        ("referer", f"https://{SECRETIVE}/"),
        ("cookie", SECRETIVE),
    ]
    api.ask(path, key, more=more)

    [one] = noted(redis, 1)

    assert one.route == route
    assert (one.account, one.client) == (None, None)
    raw = str([redis.xrange(stream) for stream in recent_requests.STREAMS])
    assert "asha" not in raw
    assert "Mozilla" not in raw
    assert HOUSE_KEY not in raw


# Slow: an API and a Redis of its own, which is stopped, started again and hangs.
def test_no_request_is_slower_or_fails_without_redis(
    database_url: str, log_file: Path, tmp_path: Path, clinic: str
) -> None:
    # Given an API whose Redis listens on a socket
    at = tmp_path / "redis.sock"
    own = ("--unixsocket", str(at))
    chosen = {
        "DATABASE_URL": database_url,
        "API_KEYS": f"house:{HOUSE_KEY}",
        "REDIS_URL": f"unix://:{quote(PASSWORD, safe='')}@{at}",
    }

    def read() -> list[str]:
        with Redis(unix_socket_path=str(at), password=PASSWORD) as client:
            return [one.request_id for _, one in recent_requests.newest_first(client)]

    def ask(count: int) -> tuple[list[str], float]:
        """The ids of so many requests, and how long the slowest took."""
        ids, slowest = [], 0.0
        for _ in range(count):
            began = time.perf_counter()
            answer = api.ask(f"/v1/accounts/{clinic}", HOUSE_KEY)
            slowest = max(slowest, time.perf_counter() - began)
            assert answer.status == 200
            ids.append(answer.headers["x-request-id"])
        return ids, slowest

    with running(tmp_path, *own), ApiProcess(log_file, **chosen) as api:
        before, _ = ask(5)
        eventually("requests are noted", lambda: set(before) <= set(read()))
        with Redis(unix_socket_path=str(at), password=PASSWORD) as client:
            # When it hangs, and then is gone
            client.client_pause(60_000)
        _, hanging = ask(30)
    with ApiProcess(log_file, **chosen) as api:
        _, away = ask(30)
        # Then no request has waited for it
        assert max(hanging, away) < request_writer.TIMEOUT_SECONDS / 2
        eventually("it is said", lambda: "requests not noted" in api.log)

        # And when it is back, requests are noted again; what waited at the end is not lost
        with running(tmp_path, *own):
            eventually("they are noted again", lambda: ask(1)[0][0] and read())
            last, _ = ask(3)
            assert api.stop() == 0
            assert set(last) <= set(read())


# Slow: an API of three processes starts.
def test_each_process_of_the_api_notes_into_the_same_streams(
    database_url: str, log_file: Path, redis: Redis
) -> None:
    # Given an API of three processes
    chosen = {"DATABASE_URL": database_url, "API_PROCESSES": "3", "API_KEYS": f"house:{HOUSE_KEY}"}
    with ApiProcess(log_file, **chosen) as api:
        # When many ask it at once, over connections of their own
        with ThreadPoolExecutor(16) as crowd:
            asked = crowd.map(lambda _: api.ask("/openapi.json"), range(90))
            ids = {answer.headers["x-request-id"] for answer in asked}
        api.stop()

    # Then all are noted, also those that were asked just before it stopped
    assert {one.request_id for one in noted(redis, 90)} == ids


def test_none_is_noted_if_none_is_to_be_kept(
    database_url: str, log_file: Path, redis: Redis
) -> None:
    with ApiProcess(log_file, DATABASE_URL=database_url, API_REQUESTS_KEPT="0") as api:
        api.ask("/openapi.json")

    assert not redis.exists(*recent_requests.STREAMS)
