"""`billing requests`: the API's recent requests are found, and what each of them wrote."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

import clock
from billing import oversight
from billing.credit import holds
from billing.oversight import request_rows
from db import deliveries
from db.deliveries import NewEvent
from db.personal_data import PERSONAL
from db.session import transaction
from service import recent_requests, request_ids
from service.recent_requests import RecentRequest
from tests.billing.disputes.given import charge, dispute
from tests.billing.returns.given import ask_refund
from tests.billing.verification.payment_rows import add_payment
from tests.cli.runner import give, open_clinic, process, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database", "redis")

AT = datetime(2026, 11, 30, 10, tzinfo=UTC)
NOBODY = "redis://127.0.0.1:1/0"


def request_id(number: int) -> str:
    return f"req_{number:032}"


def note(redis: Redis, number: int, **more: Any) -> str:
    """Note a request as the API does; its id."""
    plain: dict[str, Any] = {
        "at": AT + timedelta(minutes=number), "request_id": request_id(number), "method": "GET",
        "route": "/v1/accounts/{ref}", "status": 200, "duration_ms": 3.2, "caller": "marketplace",
    }  # fmt: skip
    one = RecentRequest(**plain | more)
    recent_requests.append(redis, [one], kept=1_000, now=clock.real_now())
    return one.request_id


def listed(*options: str) -> list[str]:
    """The ids that `billing requests list` prints, the newest first."""
    return [one["request_id"] for one in run("requests", "list", *options, "--json").json]


@pytest.fixture
def noted(redis: Redis) -> dict[str, str]:
    """Some requests by what is special about each."""
    callers = {
        "read": note(redis, 1, account="clinic:42"),
        "order": note(redis, 2, method="POST", route="/v1/orders", status=201, caller="other"),
        "unknown": note(redis, 3, route="/v1/leads/{lead_id}", status=404, problem="unknown-lead"),
        "broken": note(redis, 4, status=500),
    }
    # A stream of its own: within one millisecond Redis knows no order between the two.
    time.sleep(0.002)
    return {**callers, "stranger": note(redis, 5, route=None, status=404, caller=None)}


def test_the_newest_come_first_with_all_that_is_noted(noted: dict[str, str]) -> None:
    first, *_, last = run("requests", "list", "--json").json

    assert listed() == list(reversed(noted.values()))
    assert (first["request"], first["caller"], first["status"]) == ("GET (unknown path)", None, 404)
    assert last == {
        "at": "2026-11-30T10:01:00+00:00", "caller": "marketplace", "status": 200, "problem": None,
        "request": "GET /v1/accounts/{ref}", "request_id": noted["read"], "account": "clinic:42",
        "duration_ms": 3.2, "replayed": False, "client": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--caller", "other"], ["order"]),
        (["--caller", "nobody"], []),
        (["--status", "404"], ["stranger", "unknown"]),
        (["--status", "4xx"], ["stranger", "unknown"]),
        (["--status", "5XX"], ["broken"]),
        (["--route", "orders"], ["order"]),
        (["--route", "POST /v1/orders"], ["order"]),
        (["--route", "/v1/leads/{lead_id}"], ["unknown"]),
        (["--route", "/v1/leads/L-17/x"], ["unknown"]),
        (["--route", "/v1/leads/"], ["unknown"]),
        (["--account", "clinic:42"], ["read"]),
        (["--since", "2026-11-30T10:04Z"], ["stranger", "broken"]),
        (["--until", "2026-11-30T10:02Z"], ["read"]),
        (["--status", "404", "--caller", "marketplace"], ["unknown"]),
        (["--limit", "2"], ["stranger", "broken"]),
    ],
)
def test_a_list_holds_what_is_asked_for(
    noted: dict[str, str], options: list[str], found: list[str]
) -> None:
    assert listed(*options) == [noted[name] for name in found]


@pytest.mark.parametrize("wrong", ["44", "600", "4x", "ok", "-1"])
def test_a_status_that_is_none_is_wrong_usage(wrong: str) -> None:
    ran = run("requests", "list", "--status", wrong)

    assert ran.exit_code == 2
    assert "is not a status such as 404 or 4xx" in ran.err


def test_a_page_names_the_next_one(redis: Redis) -> None:
    ids = [note(redis, number, caller=None if number % 3 else "a") for number in range(45)]

    first = run_on_terminal("requests", "list", width=80)
    assert first.err.startswith("25 more: billing requests list --after ")
    after = first.err.split()[-1]
    second = run_on_terminal("requests", "list", "--after", after, width=80)
    third = run_on_terminal("requests", "list", "--after", second.err.split()[-1], width=80)

    assert third.err == ""
    shown = [word for page in (first, second, third) for word in page.out.split() if word in ids]
    assert shown == listed()
    assert sorted(shown) == sorted(ids)


@pytest.mark.parametrize("position", ["x", "1-2", "1-2-9", "-1-0-0", "1-2-3-4", "9" * 30 + "-0-0"])
def test_a_position_of_another_list_is_refused(position: str) -> None:
    error = run("requests", "list", f"--after={position}").error

    assert error.startswith("after is not a position of this list")


def test_80_columns_are_enough_and_no_id_is_cut(redis: Redis, noted: dict[str, str]) -> None:
    note(
        redis, 9, method="POST", route="/v1/disputes/{dispute_id}/withdraw", status=409,
        problem="idempotency-conflict", caller="a-marketplace-key",
    )  # fmt: skip

    narrow = run_on_terminal("requests", "list", width=80).out.splitlines()
    wide = run_on_terminal("requests", "list", width=200).out.splitlines()

    assert max(map(len, narrow)) <= 80
    title = " ".join(narrow[0].split())
    assert title == "at / caller status / problem request / request id"
    assert " ".join(wide[0].split()) == "at caller status problem request request id"
    for one in noted.values():
        assert any(one in line for line in narrow)
        assert any(line.endswith(one) for line in wide)


def test_in_a_pipe_there_are_all_fields_and_no_colours(noted: dict[str, str]) -> None:
    done = process("requests", "list", "--caller", "other", environment={"TERM": "xterm"})

    assert done.out.splitlines() == [
        "at\tcaller\tstatus\tproblem\trequest\trequest_id\taccount\tduration_ms\treplayed\tclient",
        f"2026-11-30T10:02:00+00:00\tother\t201\t\tPOST /v1/orders\t{noted['order']}\t\t3.2\tno\t",
    ]


def test_a_list_needs_no_database(noted: dict[str, str]) -> None:
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}

    ran = run("requests", "list", "--json", environment=nowhere)

    assert len(ran.json) == len(noted)


def test_without_redis_a_list_says_so() -> None:
    error = run("requests", "list", environment={"REDIS_URL": NOBODY}).error

    assert error == (
        "Redis, which has the noted requests, cannot be reached (ConnectionError): start the stack"
        " with `make run`, or correct REDIS_URL"
    )


def test_nothing_is_said_if_nothing_matches_unless_none_is_noted() -> None:
    assert run("requests", "list", "--json").json == []
    assert run_on_terminal("requests", "list").out == "No requests match.\n"


def test_a_request_is_shown_with_the_rows_that_it_wrote(redis: Redis) -> None:
    # Given a request that opened an account, and another one
    one = note(redis, 1, method="POST", route="/v1/accounts", at=clock.now())
    with request_ids.bound(one):
        open_clinic("clinic:42")
    with request_ids.bound(request_id(2)):
        open_clinic("clinic:43")

    # When it is shown
    shown = run("requests", "show", one, "--json").json

    # Then with its own rows, each with the command that shows more
    assert [request["request_id"] for request in shown["requests"]] == [one]
    account, entry = sorted(shown["rows"], key=lambda row: str(row["table"]))
    assert (account["table"], account["detail"]) == (
        "accounts",
        "account clinic:42 of clinic_leads",
    )
    assert account["command"] == "billing accounts show clinic:42"
    assert run(*account["command"].split()[1:]).exit_code == 0
    assert entry["table"] == "billing_audit_log"
    assert entry["command"] == "billing audit-log --subject account:clinic:42"
    on_terminal = run_on_terminal("requests", "show", one, width=80).out
    assert "What it wrote:" in on_terminal
    assert max(map(len, on_terminal.splitlines())) <= 80


@pytest.mark.parametrize(
    "command", ["holds list", "leads list", "disputes list", "payments list", "refunds list"]
)
def test_a_row_found_another_way_names_its_request(command: str) -> None:
    # Given one row of each kind, all written by one request
    with request_ids.bound("all-by-one"):
        open_clinic("clinic:42")
        give("1000")
        charge("L-1")
        dispute("L-1")
        with transaction() as session:
            holds.place(
                session, account="clinic:42", amount=3, idempotency_key="h", actor="api",
                expires_in=timedelta(hours=1),
            )  # fmt: skip
        add_payment("clinic:42", "pay_1", gateway_order_id="order_1")
        ask_refund()

    # When it is found by a list, and shown
    [listed_, *_] = run(*command.split(), "--json").json
    noun, id_ = command.removesuffix(" list"), str(next(iter(listed_.values())))
    shown = run(noun, "show", id_, "--json").json
    for_people = run_on_terminal(noun, "list", "--wide", width=400).out

    # Then the id of the request is there, as in `billing orders show`
    assert listed_["request_id"] == "all-by-one"
    assert "all-by-one" in for_people
    if noun != "leads":  # as the API has it, which names no request
        [one, *_] = shown if isinstance(shown, list) else [shown]
        assert one["request_id"] == "all-by-one"
        assert "all-by-one" in run_on_terminal(noun, "show", id_, width=80).out


def test_a_delivery_that_only_the_database_knows_is_found() -> None:
    delivery = "proxy-20261130-00017"
    with request_ids.bound(delivery), transaction() as session:
        deliveries.record(session, [NewEvent("leads", "msg_1", b"{}", clock.now())])

    ran = run("requests", "show", delivery, "--json")
    told = run_on_terminal("requests", "show", delivery)

    [row] = ran.json["rows"]
    assert ran.json["requests"] == []
    assert (row["table"], row["detail"]) == ("inbound_events", "leads msg_1: pending")
    assert row["command"] == f"billing inbox show {row['id']}"
    assert told.err == ("It is not among the noted requests of the API, of which there are none.\n")


def test_a_request_that_wrote_nothing_says_so(noted: dict[str, str]) -> None:
    shown = run_on_terminal("requests", "show", noted["read"]).out

    assert "It wrote no row." in shown


def test_requests_that_share_an_id_are_all_shown(redis: Redis) -> None:
    note(redis, 1, request_id="shared-by-two", status=503)
    note(redis, 2, request_id="shared-by-two", status=201, replayed=True)

    shown = run("requests", "show", "shared-by-two", "--json").json["requests"]

    assert [one["status"] for one in shown] == [201, 503]
    assert "2 requests have this id:" in run_on_terminal("requests", "show", "shared-by-two").out


def test_an_unknown_id_says_what_was_looked_through(noted: dict[str, str]) -> None:
    error = run("requests", "show", request_id(99)).error

    assert error == (
        f"no request {request_id(99)} is among the {len(noted)} noted requests of the API, since"
        " 2026-11-30 15:31, and no row of the database has its id"
    )


@pytest.mark.parametrize(
    "wrong", ["17", "short", "x" * 65, "a b c d e f", "-req", "\x1b[2Jabcdefg"]
)
def test_what_is_no_id_says_where_to_find_one(wrong: str) -> None:
    error = run("requests", "show", "--", wrong).error

    assert "is not the id of a request: take it from X-Request-Id" in error
    assert "\x1b" not in error


def test_without_redis_the_rows_are_still_shown() -> None:
    with request_ids.bound("without-redis"):
        open_clinic("clinic:42")

    ran = run("requests", "show", "without-redis", "--json", environment={"REDIS_URL": NOBODY})

    assert len(ran.json["rows"]) == 2
    assert ran.err.startswith("Warning: Redis, which has the noted requests, cannot be reached")


def test_rows_that_are_older_than_the_request_are_not_read(redis: Redis) -> None:
    one = note(redis, 1, at=clock.now() + timedelta(hours=2))
    with request_ids.bound(one):
        open_clinic("clinic:42")

    assert run("requests", "show", one, "--json").json["rows"] == []


def test_every_table_that_names_requests_is_read_and_has_a_line_of_its_own() -> None:
    tables = request_rows.tables()

    assert "credit_transactions" in {table.name for table in tables}
    assert {table.name for table in tables} == request_rows._LINES.keys()
    for table in tables:
        assert any(name in table.c for name in request_rows._TIMES), table.name
    with transaction() as session:  # each query is one that PostgreSQL understands
        for since in (None, clock.now()):
            assert oversight.rows_of_request(session, "of-nobody-at-all", since=since) == []


def test_no_personal_column_is_read() -> None:
    for table in request_rows.tables():
        query = request_rows._query(table, next(iter(table.c)), "x", None)
        read = {column.name for column in query.selected_columns}
        assert not read & PERSONAL.get(table.name, {}).keys(), table.name


def test_a_line_is_made_of_any_row_of_its_table() -> None:
    # Given a row of each table with an awkward value in each column
    class Awkward:
        def __getattr__(self, name: str) -> Any:
            if name.endswith("_paise") or name in {"amount", "balance_after", "credits"}:
                return -1
            return "a b;'\x1b"

    for table, line in request_rows._LINES.items():
        what, look = line(Awkward())  # type: ignore[arg-type]
        assert what, table
        assert look is None or look.startswith("billing "), table
