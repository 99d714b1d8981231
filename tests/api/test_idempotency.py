"""A POST is done once for its Idempotency-Key: what a route can rely on, and what a caller sees."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from http import HTTPMethod

import pytest
from flask.testing import FlaskClient
from flask_openapi import APIBlueprint
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from werkzeug.test import TestResponse

import clock
import settings
from api import app as api_app
from api import idempotency
from api.problems import Refusal
from api.routes import route
from billing import audit
from billing.access import idempotency as api_requests
from billing.privacy import retention
from db.roles import Role
from db.session import transaction
from tests.api.conftest import HOUSE_KEY, OTHER_HOUSE_KEY
from tests.billing.given import rows

KEPT, STORED, REFUSED, BROKEN, NOT_FINAL = "kept", "stored", "refused", "broken", "not final"


class Wish(BaseModel):
    model_config = ConfigDict(strict=True)

    how: str
    note: str = ""


class Granted(BaseModel):
    number: int
    key: str
    note: str


class Wishes:
    """A resource that counts what is asked of it, and behaves as it is set."""

    def __init__(self) -> None:
        self.done = 0
        self.how: str | None = None
        self.raises: Exception | None = None
        self.resource = APIBlueprint("wishes", __name__, url_prefix="/v1")
        put = route(
            self.resource, HTTPMethod.POST, "/wishes", scope="leads:write", answers=Granted,
            status=201,
        )  # fmt: skip
        put(self._view())

    def _view(self) -> Callable[[Wish], Granted]:
        def make(body: Wish) -> Granted:
            """Make a wish."""
            self.done += 1
            if self.raises is not None:
                raise self.raises
            how = self.how or body.how
            content = Granted(number=self.done, key=idempotency.operation_key(), note=body.note)
            if how == REFUSED:
                raise Refusal(402, "not enough credit")
            if how == BROKEN:
                raise Refusal(502, "the gateway says nothing")
            if how == NOT_FINAL:
                idempotency.not_final()
            with transaction() as session:
                audit.record(session, "wish.made", "wish:1", before=None, after={})
                if how == KEPT:
                    idempotency.keep(session, content)
            return (
                Granted(number=99, key="", note="what was kept is sent")
                if how == KEPT
                else (content)
            )

        return make

    @property
    def effects(self) -> int:
        return len(rows("SELECT 1 FROM billing_audit_log WHERE action = 'wish.made'"))


@pytest.fixture
def wishes() -> Wishes:
    return Wishes()


@pytest.fixture
def client(database: str, wishes: Wishes, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    monkeypatch.setenv("API_KEYS", f"house:{HOUSE_KEY},other:{OTHER_HOUSE_KEY}")
    monkeypatch.setattr(api_app, "RESOURCES", (wishes.resource,))
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.2)
    settings.get.cache_clear()
    yield api_app.create_app().test_client()
    settings.get.cache_clear()


def post(
    client: FlaskClient, how: str, *, once: str | None = "k-1", note: str = "", key: str = HOUSE_KEY
) -> TestResponse:
    headers = {"Authorization": f"Bearer {key}"}
    if once is not None:
        headers["Idempotency-Key"] = once
    return client.post("/v1/wishes", json={"how": how, "note": note}, headers=headers)


def kind(answer: TestResponse) -> str:
    shown = json.loads(answer.data)
    return str(shown["type"]).removeprefix("urn:problem-type:billing:")


@pytest.mark.parametrize("how", [KEPT, STORED])
def test_a_repeat_does_nothing_and_gets_the_very_same_answer(
    client: FlaskClient, wishes: Wishes, how: str
) -> None:
    first = post(client, how, note="é \u0000 🦷")
    second = post(client, how, note="é \u0000 🦷")

    assert (first.status_code, first.json and first.json["number"]) == (201, 1)
    assert (second.status_code, second.data) == (first.status_code, first.data)
    assert second.content_type == first.content_type == "application/json"
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (wishes.done, wishes.effects) == (1, 1)


def test_another_key_or_another_caller_is_another_request(
    client: FlaskClient, wishes: Wishes
) -> None:
    keys = []
    for once, key in (("k-1", HOUSE_KEY), ("k-2", HOUSE_KEY), ("k-1", OTHER_HOUSE_KEY)):
        answer = post(client, KEPT, once=once, key=key)
        assert answer.json is not None
        keys.append(answer.json["key"])

    assert keys == ["api:house:k-1", "api:house:k-2", "api:other:k-1"]
    assert wishes.effects == 3


@pytest.mark.parametrize("how", [KEPT, STORED, NOT_FINAL, BROKEN])
def test_the_same_key_with_other_content_is_a_conflict(
    client: FlaskClient, wishes: Wishes, how: str
) -> None:
    post(client, how)

    answer = post(client, how, note="other")

    assert (answer.status_code, kind(answer)) == (409, "idempotency-conflict")
    assert wishes.done == 1


def test_a_refused_request_leaves_its_key_like_new(client: FlaskClient, wishes: Wishes) -> None:
    for _ in range(2):
        assert post(client, REFUSED).status_code == 402
    assert wishes.done == 2

    assert post(client, KEPT, note="put right").status_code == 201
    assert post(client, REFUSED).status_code == 409


def test_what_failed_is_tried_anew_by_a_repeat(client: FlaskClient, wishes: Wishes) -> None:
    wishes.how = BROKEN
    assert post(client, KEPT).status_code == 502

    wishes.how = None

    answer = post(client, KEPT)
    assert (answer.status_code, answer.json and answer.json["number"]) == (201, 2)
    assert "Idempotent-Replayed" not in answer.headers


def test_an_answer_that_is_not_final_is_sent_and_looked_for_again(
    client: FlaskClient, wishes: Wishes
) -> None:
    wishes.how = NOT_FINAL
    first, second = post(client, STORED), post(client, STORED)
    assert [first.status_code, second.status_code] == [201, 201]
    assert [first.json and first.json["number"], second.json and second.json["number"]] == [1, 2]

    wishes.how = None

    final, repeat = post(client, STORED), post(client, STORED)
    assert final.json
    assert final.json["number"] == 3
    assert repeat.data == final.data


def test_who_waits_in_vain_is_asked_to_come_again(client: FlaskClient, wishes: Wishes) -> None:
    # Given another request that is still being worked on
    claimed_at_the_door(client)
    # When it does not come to an end
    answer = post(client, KEPT)
    # Then its repeat gets that answer
    assert (answer.status_code, kind(answer)) == (409, "request-in-progress")
    assert int(answer.headers["Retry-After"]) > 0
    assert wishes.done == 0


def test_what_a_dead_process_left_behind_is_done_by_a_repeat(
    client: FlaskClient, wishes: Wishes
) -> None:
    with clock.frozen(clock.now() - timedelta(minutes=2)):
        claimed_at_the_door(client)

    assert post(client, KEPT).status_code == 201
    assert wishes.effects == 1


def test_an_effect_whose_claim_was_taken_over_is_rolled_back(
    client: FlaskClient, wishes: Wishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a request that takes longer than its claim, so that a repeat overtakes it
    repeats: list[TestResponse] = []
    key = idempotency.operation_key

    def slow() -> str:
        monkeypatch.setattr(idempotency, "operation_key", key)
        with clock.frozen(clock.now() + timedelta(minutes=2)):
            repeats.append(post(client.application.test_client(), KEPT))
        return key()

    monkeypatch.setattr(idempotency, "operation_key", slow)
    # When it comes to its end after all
    answer = post(client, KEPT)
    # Then the repeat's effect is the only one, and its answer the one that is repeated
    assert (answer.status_code, kind(answer)) == (409, "request-in-progress")
    assert wishes.effects == 1
    assert post(client, KEPT).data == repeats[0].data


@pytest.mark.parametrize(
    ("once", "message"),
    [
        pytest.param(None, "Field required", id="missing"),
        pytest.param("", "at least 1 character", id="empty"),
        pytest.param("x" * 256, "at most 255 characters", id="256 characters"),
        pytest.param("a b", "visible ASCII", id="a blank"),
        pytest.param("a\tb", "visible ASCII", id="a tab"),
        pytest.param("é", "visible ASCII", id="no ASCII"),
        pytest.param("\x7f", "visible ASCII", id="a control character"),
    ],
)
def test_a_key_that_cannot_be_is_named(
    client: FlaskClient, wishes: Wishes, once: str | None, message: str
) -> None:
    answer = post(client, KEPT, once=once)

    assert answer.status_code == 422
    [field] = json.loads(answer.data)["errors"]
    assert field["field"] == "Idempotency-Key"
    assert message in field["detail"]
    assert wishes.done == 0


@pytest.mark.parametrize("once", ["!", "~" * 255, '"quoted"', "a:b/c,%2F"])
def test_any_visible_ascii_is_a_key(client: FlaskClient, once: str) -> None:
    first, second = post(client, KEPT, once=once), post(client, KEPT, once=once)

    assert first.status_code == 201
    assert second.data == first.data


def test_a_long_key_makes_keys_that_leave_room_in_the_ledgers(client: FlaskClient) -> None:
    made = set()
    for end in "ab":
        answer = post(client, KEPT, once="~" * 254 + end)
        assert answer.json
        made.add(answer.json["key"])

    assert len(made) == 2
    assert all(len(key) <= 200 and key.startswith("api:house:sha256-") for key in made)


@pytest.mark.parametrize("long", ["~" * 187, "x" * 250, "sha256-" + "0" * 248])
def test_no_key_can_be_made_to_stand_for_another_request(client: FlaskClient, long: str) -> None:
    # Given a key that is stored as its hash, and the same caller that sends the hash as a key
    hashed = f"sha256-{sha256(long.encode()).hexdigest()}"
    again = f"sha256-{sha256(hashed.encode()).hexdigest()}"
    made = []
    for once in (long, hashed, again):
        answer = post(client, KEPT, once=once)
        # Then each is a request of its own
        assert answer.status_code == 201
        assert answer.json
        made.append(answer.json["key"])
    assert len(set(made)) == 3
    assert all(len(key) <= 200 for key in made)


@given(
    st.lists(
        st.tuples(
            st.from_regex("([A-Za-z0-9][A-Za-z0-9._-]{0,5}|#[0-9]{1,3})", fullmatch=True),
            st.one_of(
                st.text("a:#-", min_size=1, max_size=6),
                st.sampled_from(["x" * 200, "x" * 201, "sha256-x", "sha256-" + "0" * 64]),
            ),
        ),
        unique=True,
        min_size=2,
        max_size=20,
    )
)
def test_names_of_requests_are_injective(requests: list[tuple[str, str]]) -> None:
    made = {idempotency.operation_key_of(caller, key) for caller, key in requests}

    hashes = {f"sha256-{sha256(key.encode()).hexdigest()}" for _, key in requests}
    made |= {idempotency.operation_key_of(requests[0][0], key) for key in hashes}

    assert len(made) == len(set(requests) | {(requests[0][0], key) for key in hashes})


def claimed_at_the_door(client: FlaskClient) -> None:
    """Claim what `post(client, KEPT)` asks, as a request does that then comes to no end."""
    body = client.application.json.dumps({"how": KEPT, "note": ""}).encode()
    asked = "POST /v1/wishes"
    digest = sha256(asked.encode() + b"\n" + body).digest()
    with transaction() as session:
        claim = api_requests.Request("house", "k-1", asked, digest)
        assert isinstance(api_requests.lease(session, claim), api_requests.RequestLease)


def test_a_repeat_whose_answer_retention_has_dropped_is_a_410_and_does_nothing(
    client: FlaskClient, wishes: Wishes
) -> None:
    # Given an answer, and a day on which its time is up
    now = clock.now()
    assert post(client, KEPT, note="Asha, 98765 43210").status_code == 201
    limits = retention.Limits(bodies_days=None, dead_days=None, answers_days=90)
    with transaction(Role.RETENTION) as session:
        assert retention.fold_some(session, limits, now=now + timedelta(days=91)).rows == 1

    # When the request comes again, and when another one comes under its key
    repeat = post(client, KEPT, note="Asha, 98765 43210")
    other = post(client, KEPT, note="another")

    # Then both are refused, and nothing is done
    assert (repeat.status_code, kind(repeat)) == (410, "answer-not-kept")
    assert "was answered 201" in str(json.loads(repeat.data)["detail"])
    assert (other.status_code, kind(other)) == (409, "idempotency-conflict")
    assert (wishes.done, wishes.effects) == (1, 1)
    assert rows("SELECT answer FROM api_requests") == [("{}",)]
