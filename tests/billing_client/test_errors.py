"""Errors of answers: a class for each problem type, with the id of the request."""

import inspect
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from billing_client import (
    AccountExists,
    BillingClient,
    BillingError,
    DisputeOpen,
    DisputeRefused,
    DisputeUnknown,
    GatewayUnavailable,
    InvalidFields,
    LeadState,
    LeadStatus,
    LeadStillPending,
    MissingScope,
    NotEnoughCredit,
    NotRefundable,
    OutOfReach,
    ProductMismatch,
    Refused,
    RequestInProgress,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
    errors,
    http,
    refusals,
    use_request_id,
)
from tests.api.problem_kinds import declared_kinds
from tests.billing_client.bank import client_of
from tests.billing_client.scripted_server import Reply, ScriptedServer

PLAIN = {"refused", "unknown", "cannot-be-stored"}
"""What is only a `Refused`: nothing more can be done about it in a program."""
OWN = {"not-enough-credit", "hold-finished", "idempotency-conflict"}
"""Those whose error has fields of its own."""


def problem(kind: str, status: int, **more: Any) -> dict[str, Any]:
    return {
        "type": f"urn:problem-type:billing:{kind}", "status": status, "detail": "because", **more,
    }  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries in hundredths of a second."""
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.01)


def refused(reply: Reply, ask: Callable[[BillingClient], object], **options: Any) -> BillingError:
    with (
        ScriptedServer(reply) as server,
        client_of(server.url, **{"retries": 0, **options}) as client,
        pytest.raises(BillingError) as caught,
    ):
        ask(client)
    return caught.value


def test_every_problem_type_of_the_api_has_a_class() -> None:
    served = declared_kinds()
    known = {*refusals._ABOUT, *refusals._PLAIN, *refusals._LATER, *OWN, *PLAIN, "invalid-fields"}
    assert len(served) > 25
    assert served <= known, served - known


@pytest.mark.parametrize(
    ("kind", "status", "ask", "error", "about"),
    [
        ("account-exists", 409, lambda c: c.create_account("clinic:42", "City", "x"),
         AccountExists, {"account": "clinic:42"}),
        ("unknown-dispute", 404, lambda c: c.dispute_status(7), DisputeUnknown, {"dispute_id": 7}),
        ("missing-scope", 403, lambda c: c.account("clinic:42"), MissingScope, {"status": 403}),
        ("out-of-reach", 403, lambda c: c.account("clinic:42"), OutOfReach, {"status": 403}),
        ("not-refundable", 409, lambda c: c.refund_payment("pay_1", reason="x"),
         NotRefundable, {"status": 409}),
        ("dispute-open", 409, lambda c: c.withdraw_dispute(7), DisputeOpen, {"status": 409}),
        ("of-a-newer-server", 409, lambda c: c.account("clinic:42"), Refused, {"status": 409}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_a_refusal_has_its_class_its_kind_and_what_it_is_about(
    kind: str, status: int, ask: Callable[[BillingClient], object], error: type, about: Any
) -> None:
    reply = Reply(status, problem(kind, status), {"X-Request-Id": "req_of_the_server"})
    found = refused(reply, ask)
    assert type(found) is error
    assert isinstance(found, Refused)
    assert (found.kind, found.request_id) == (kind, "req_of_the_server")
    assert {name: getattr(found, name) for name in about} == about


def test_families_can_be_caught_as_one() -> None:
    assert issubclass(MissingScope, Unauthorized)
    assert issubclass(OutOfReach, Unauthorized)
    assert issubclass(DisputeOpen, DisputeRefused)
    assert issubclass(GatewayUnavailable, Unreachable)


def test_wrong_fields_are_named() -> None:
    wrong = [{"field": "timezone", "detail": "is unknown"}]
    found = refused(
        Reply(422, problem("invalid-fields", 422, errors=wrong)),
        lambda client: client.update_account("clinic:42", timezone="Mars"),
    )
    assert isinstance(found, InvalidFields)
    assert found.fields == {"timezone": "is unknown"}
    for odd in (None, "x", [None, "y"]):
        found.problem = {"errors": odd}
        assert found.fields == {}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [("gateway-unavailable", 503, GatewayUnavailable),
     ("request-in-progress", 409, RequestInProgress), ("of-a-newer-server", 503, Unreachable)],
)  # fmt: skip
def test_what_may_go_through_later_carries_the_key(
    kind: str, status: int, error: type[Unreachable]
) -> None:
    reply = Reply(status, problem(kind, status), {"Retry-After": "0"})
    found = refused(
        reply, lambda client: client.place_order("clinic:42", "razorpay", package="p"), retries=1
    )
    assert isinstance(found, Unreachable)
    assert (type(found), found.kind) == (error, kind)
    assert found.idempotency_key


def test_the_request_id_is_that_of_the_header_or_the_problem_or_none() -> None:
    def asked(content: Any, **headers: str) -> str | None:
        return refused(Reply(404, content, headers), lambda c: c.account("clinic:42")).request_id

    inside = problem("unknown-account", 404, request_id="req_of_problem")
    assert asked(inside, **{"x-request-id": "req_of_header"}) == "req_of_header"
    assert asked(inside) == "req_of_problem"
    assert asked(problem("unknown-account", 404)) is None
    assert asked(["no problem"]) is None
    # Of an answer that is no result too, and of none at all the one that was sent
    nothing = Reply(200, {}, {"X-Request-Id": "req_odd"})
    assert refused(nothing, lambda c: c.account("clinic:42")).request_id == "req_odd"
    with use_request_id("shop-7f3a-1"):
        assert refused(Reply(0), lambda c: c.account("clinic:42")).request_id == "shop-7f3a-1"
    assert refused(Reply(0), lambda c: c.account("clinic:42")).request_id is None


@pytest.mark.parametrize("wrong", ["", "short", "x" * 65, "12345678", "a b c d e", "-abcdefgh", 5])
def test_an_id_that_the_server_would_replace_is_refused(wrong: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="request_id: must be 8 to 64"):
        use_request_id(wrong).__enter__()


@pytest.mark.parametrize(
    ("content", "named"),
    [([], "the answer is not an object"), ({}, "account is missing"),
     ({"account": "clinic:42", "entitlements": {"x": {"allowed": 1}}}, "service_renewal"),
     ({"account": None}, "account is not a str")],
    ids=str,
)  # fmt: skip
def test_an_answer_that_is_something_else_names_what_is_wrong(content: Any, named: str) -> None:
    found = refused(Reply(200, content), lambda client: client.entitlements("clinic:42"))
    assert isinstance(found, UnexpectedAnswer)
    assert re.search(f"cannot be read: check api_url .*{named}", str(found))


def test_what_may_be_done_although_its_answer_is_something_else_has_its_key() -> None:
    def charge(client: BillingClient) -> object:
        return client.charge_credits("clinic:42", 5)

    # Such as a proxy's page instead of the answer: a repeat must not be another charge
    with (
        ScriptedServer(Reply(200, "a page")) as server,
        client_of(server.url) as client,
        pytest.raises(UnexpectedAnswer) as caught,
    ):
        charge(client)
    assert caught.value.idempotency_key == server.asked[0].headers["idempotency-key"]
    assert pickle.loads(pickle.dumps(caught.value)).idempotency_key  # noqa: S301 - ours
    assert refused_question(Reply(200, "a page")).idempotency_key is None


def refused_question(reply: Reply) -> UnexpectedAnswer:
    found = refused(reply, lambda client: client.account("clinic:42"))
    assert isinstance(found, UnexpectedAnswer)
    return found


def test_figures_that_are_none_make_no_error_with_figures() -> None:
    wrong = problem("not-enough-credit", 402, needed="5", balance=None, available=2)
    found = refused(Reply(402, wrong), lambda client: client.charge_credits("clinic:42", 5))
    assert type(found) is Refused


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(302, headers={"Location": "https://login.example/"}), "leads to another address"),
        (Reply(404), "is not JSON: check the URL"),
    ],
    ids=["a redirect", "a page"],
)
def test_an_answer_of_another_server_says_to_check_the_address(reply: Reply, message: str) -> None:
    found = refused(reply, lambda client: client.account("clinic:42"))
    assert type(found) is Refused
    assert message in str(found)


def _every_error() -> list[BillingError]:
    samples = {"account": "clinic:42", "hold_id": "7", "state": "voided", "status": 409}
    made: list[BillingError] = []
    for kind in vars(errors).values():
        if (
            not inspect.isclass(kind)
            or not issubclass(kind, BillingError)
            or kind.__name__[0] == "_"
        ):
            continue
        names = [*inspect.signature(kind.__init__).parameters][1:]
        if kind is NotEnoughCredit:
            made.append(kind("clinic:42", 5, 3, 2))
        elif kind is LeadStillPending:
            made.append(kind("L-1", 30))
        elif kind is ProductMismatch:
            made.append(kind("clinic:42", "a", "b"))
        elif names == ["args", "kwargs"] or names[0] == "message":
            made.append(kind("no"))
        else:
            made.append(kind(*[samples.get(name, "no") for name in names]))
    return made


@pytest.mark.parametrize("error", _every_error(), ids=lambda error: type(error).__name__)
def test_every_error_comes_whole_out_of_a_result_backend(error: BillingError) -> None:
    error.request_id = "req_1"
    error.problem = {"type": "urn:problem-type:billing:x", "detail": "no"}
    pickled = pickle.loads(pickle.dumps(error))  # noqa: S301 - of our own making
    assert (type(pickled), str(pickled), vars(pickled)) == (type(error), str(error), vars(error))
    assert (pickled.kind, pickled.request_id) == ("x", "req_1")
    # As Celery's JSON does it: the type, and what it was made with
    rebuilt = type(error)(*json.loads(json.dumps(error.args)))
    assert str(rebuilt) == str(error)


def test_a_wait_that_ended_keeps_what_it_saw() -> None:
    error = LeadStillPending("L-1", 30)
    assert str(error) == "the lead is still unknown after 30 seconds"
    error.status = LeadStatus("L-1", "clinic:42", LeadState.PENDING, 180, reason="an operator")
    assert str(error) == "the lead is still pending after 30 seconds (an operator)"
    assert pickle.loads(pickle.dumps(error)).status == error.status  # noqa: S301 - ours
