"""Endpoints: adding, secrets and their rotation, switching, and the test of one."""

import base64
from datetime import timedelta
from typing import Any

import pytest

import clock
from billing import notices, oversight, topics
from billing.notices import InvalidEndpoint, UnknownEndpoint, endpoints
from db.session import transaction
from service import signing
from tests.billing.given import open_account, rows
from tests.billing.notices.given import (
    BROKEN,
    OK,
    URL,
    WEB_SECRET,
    at,
    call,
    endpoint,
    fan_out,
    later,
    lease,
    operators_were_notified_of,
    set_web_secrets,
    states,
    write,
)

pytestmark = pytest.mark.usefixtures("books")

NEW_WEB_SECRET = "the-next-secret-of-the-tests-long-enough"


def secrets_of(endpoint_id: int) -> tuple[str, ...]:
    with transaction() as session:
        return endpoints.secrets_of(session, endpoint_id, now=clock.now())


def rotate(endpoint_id: int, **overlap: int) -> str:
    with transaction() as session:
        return endpoints.rotate(session, endpoint_id, overlap=timedelta(**overlap))


def test_an_endpoint_is_added_with_a_secret_that_is_stored_encrypted_alone() -> None:
    with transaction() as session:
        made = endpoints.add(session, url=URL, product="clinic_leads", actor="ops")
    assert len(base64.b64decode(made.secret.removeprefix("whsec_"))) == 32
    assert made.secret not in repr(made)
    assert secrets_of(made.endpoint_id) == (made.secret,)
    ((stored,),) = rows("SELECT secret_encrypted FROM notice_endpoint_secrets")
    assert made.secret.encode() not in bytes(stored)  # type: ignore[call-overload]
    assert made.secret not in str(rows("SELECT after FROM billing_audit_log"))
    with transaction() as session:
        (known,) = endpoints.list_all(session)
    assert (known.state, known.topics, known.created_by, known.secrets) == ("on", ("*",), "ops", 1)


def test_without_web_secrets_no_endpoint_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    set_web_secrets(monkeypatch)
    with pytest.raises(signing.NoWebSecret, match="WEB_SECRETS is not set"):
        endpoint()
    assert rows("SELECT 1 FROM notice_endpoints") == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"url": "http://shop.example/"}, InvalidEndpoint),
        ({"product": "toys"}, InvalidEndpoint),
        ({"product": None}, InvalidEndpoint),
        ({"topics": []}, InvalidEndpoint),
        ({"topics": ["lead.parkd"]}, topics.UnknownTopic),
        ({"topics": ["gateway.silent"]}, topics.UnknownTopic),
        ({"description": "two\nlines"}, InvalidEndpoint),
        ({"account": "clinic:42", "product": "pharmapulse_one"}, InvalidEndpoint),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], error: type[Exception]) -> None:
    open_account()
    with pytest.raises(error):
        endpoint(**given)


def test_during_a_rotation_both_secrets_sign_the_new_one_first() -> None:
    with at():
        made = endpoint()
        (old,) = secrets_of(made)
        new = rotate(made, hours=24)
        assert secrets_of(made) == (new, old)
        later(hours=24)
        assert secrets_of(made) == (new,)
        last = rotate(made)
        assert secrets_of(made) == (last,)
        assert rows("SELECT count(*) FROM notice_endpoint_secrets WHERE secret_encrypted = ''") == [
            (2,)
        ], "what has expired is forgotten"
        with pytest.raises(InvalidEndpoint):
            rotate(made, days=8)


def test_secrets_are_encrypted_again_after_web_secrets_was_rotated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = endpoint()
    known = secrets_of(made)
    set_web_secrets(monkeypatch, NEW_WEB_SECRET, WEB_SECRET)
    for expected in (1, 0):
        with transaction() as session:
            assert endpoints.reencrypt_secrets(session, now=clock.now()) == expected
    set_web_secrets(monkeypatch, NEW_WEB_SECRET)
    assert secrets_of(made) == known


def test_switching_off_and_on_and_removing_is_in_the_audit_log() -> None:
    made = endpoint()
    with transaction() as session:
        endpoints.disable(session, made, reason="holidays")
        endpoints.enable(session, made)
        endpoints.remove(session, made)
    assert rows(
        "SELECT action, after->>'state' FROM billing_audit_log WHERE subject = :subject"
        " ORDER BY id",
        subject=f"endpoint:{made}",
    ) == [
        ("endpoint.add", None),
        ("endpoint.disable", "off"),
        ("endpoint.enable", "on"),
        ("endpoint.remove", "removed"),
    ]
    with pytest.raises(UnknownEndpoint), transaction() as session:
        endpoints.get(session, made)
    assert secrets_of(made) == ()
    assert operators_were_notified_of() == [], "who did it knows it"


def test_an_ordered_endpoint_that_is_switched_on_again_goes_on_where_it_was_skipped() -> None:
    open_account()
    made = endpoint(ordered=True)
    write("clinic:42", "clinic:42")
    fan_out()
    with transaction() as session:
        endpoints.disable(session, made, reason="holidays")
        # A review had skipped the first one only, when it was switched on again
        endpoints.enable(session, made)
    (lane,) = lease()
    call(lane, OK, OK)
    assert states(made) == [("done", 1), ("done", 1)]


@pytest.mark.parametrize(("answer", "state"), [(OK, "done"), (BROKEN, "dead")])
def test_a_test_is_tried_once_for_this_endpoint_alone_and_decides_nothing(
    answer: notices.Answer, state: str
) -> None:
    made, other = endpoint(topics=["balance.low"]), endpoint()
    with transaction() as session:
        endpoints.disable(session, made, reason="not ready")
        lane = notices.lease_test(session, made, now=clock.now())
    (due,) = lane.deliveries
    assert b'"type":"endpoint.test"' in due.body
    call(lane, answer)
    assert states(made) == [(state, 1)]
    assert states(other) == []
    with transaction() as session:
        known = endpoints.get(session, made)
        dead = {one.what: one for one in oversight.look(session, now=clock.now())}["notices_dead"]
    assert (known.state, known.consecutive_failures) == ("off", 0)
    # What nobody can replay is not missed, and needs nobody's attention
    assert (known.missed, dead.count) == (0, 0)
    assert operators_were_notified_of() == ["endpoint.test"]


def test_a_test_waits_for_a_lane_like_all_others() -> None:
    made = endpoint()
    with transaction() as session:
        for _ in range(2):
            notices.lease_test(session, made, now=clock.now())
    with pytest.raises(notices.EndpointBusy), transaction() as session:
        notices.lease_test(session, made, now=clock.now())
    with transaction() as session:
        assert notices.fan_out(session, now=clock.now()).placed == 0
