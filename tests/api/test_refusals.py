"""Every refusal is a problem, whoever finds it: routing, a limit, or a dead database."""

from pathlib import Path

import pytest
from alembic import command

from db import migrate
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY, assert_keeps_secrets
from tests.conftest import migrator_url, new_database

NO_SERVER = "postgresql://somebody:s3cr3t-pass@/billing?host=/nonexistent"
PATH = "/v1/leads/L-1"


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/lead", "/v1/leads/", "/v2/leads/x", "/static/x", "/%ff%00", "/docs/x"]
)
def test_an_unknown_address_is_shown_where_the_known_ones_stand(api: ApiProcess, path: str) -> None:
    for key in (None, HOUSE_KEY):
        answer = api.ask(path, key)

        assert answer.status == 404
        assert "/openapi.json" in problem(answer)["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_another_method_is_told_the_right_one(api: ApiProcess, method: str) -> None:
    answer = api.ask(PATH, HOUSE_KEY, method=method)

    assert problem(answer)["status"] == 405
    assert "GET" in answer.headers["allow"]  # RFC 9110, 15.5.6: must be sent


def test_a_body_that_is_too_long_is_refused_even_where_none_is_read(api: ApiProcess) -> None:
    answer = api.request(
        "GET", PATH, b"x" * (64 * 1024 + 1), [("authorization", f"Bearer {HOUSE_KEY}")]
    )

    assert answer.status == 413
    assert "65536 bytes" in problem(answer)["detail"]


def test_a_client_that_reads_only_after_it_has_sent_ten_megabytes_sees_the_answer(
    api: ApiProcess,
) -> None:
    for _ in range(5):
        connection = api.connect()
        headers = {"authorization": f"Bearer {HOUSE_KEY}", "content-type": "application/json"}
        connection.request("POST", PATH, body=b"1" * 10_000_000, headers=headers)
        assert problem(api.answer_of(connection))["status"] == 413
        connection.close()


@pytest.mark.parametrize(("path", "status"), [("/healthz", "alive"), ("/readyz", "ready")])
def test_it_tells_that_it_is_well_without_a_key(api: ApiProcess, path: str, status: str) -> None:
    answer = api.get(path)

    assert (answer.status, answer.json) == (200, {"status": status})


def test_an_api_whose_database_is_not_migrated_is_not_ready(log_file: Path) -> None:
    with (
        new_database() as url,
        ApiProcess(log_file, DATABASE_URL=url, API_PROCESSES="1") as api,
    ):
        assert api.get("/readyz").status == 200
        command.downgrade(migrate.config(migrator_url(url)), "base")

        answer = api.get("/readyz")

        assert answer.status == 503
        assert "run `billing migrate`" in problem(answer)["detail"]
        assert int(answer.headers["retry-after"]) > 0


def test_without_a_database_callers_are_asked_to_come_again(log_file: Path) -> None:
    api_keys = f"house:{HOUSE_KEY}"
    made_here = "bk_" + "A" * 43
    with ApiProcess(log_file, DATABASE_URL=NO_SERVER, API_KEYS=api_keys, API_PROCESSES="1") as api:
        for path, key in ((PATH, HOUSE_KEY), (PATH, made_here), ("/readyz", None)):
            answer = api.ask(path, key)
            assert problem(answer)["status"] == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "nonexistent" not in answer.body.decode()
        # What is wrong with the request itself is still reported
        assert api.ask(PATH, "no-such-key-at-all").status == 401
        assert api.ask("/v1/leads/%00", HOUSE_KEY).status == 422
        assert api.get("/healthz").status == 200
        assert api.get("/openapi.json").status == 200
    assert "DatabaseUnavailable" in api.log
    assert "s3cr3t-pass" not in api.log
    assert made_here not in api.log
    assert "Traceback" not in api.log
    assert_keeps_secrets(api, api.log)


def test_a_malformed_key_stops_the_start_and_is_not_shown(log_file: Path) -> None:
    api = ApiProcess(log_file, API_KEYS=f"house:{HOUSE_KEY},other:tooshort")
    api.launch()

    assert api.process.wait(30) != 0

    assert "cannot start: API_KEYS: entry 2 must be name:key" in api.log
    assert "tooshort" not in api.log
    assert HOUSE_KEY not in api.log
    assert "Traceback" not in api.log
