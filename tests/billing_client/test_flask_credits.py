"""`require_credits` on a Flask view: what succeeds is charged, and nothing else is."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask, Response, abort, jsonify, request
from flask.views import MethodView

from billing_client import InvalidRequest, Unauthorized, credits_used, require_credits
from devstack import ports
from tests.billing_client.bank import API_KEY, OPENING, Bank, client_of, problem, selling, serving
from tests.billing_client.scripted_server import Reply, ScriptedServer
from tests.billing_client.views import PRICE, Work, priced, seen, view_of


def test_a_view_that_succeeds_is_charged_before_its_answer_is_there(bank: Bank) -> None:
    held_inside: list[object] = []
    work = Work(lambda: held_inside.extend(bank.holds()))
    with selling(priced(bank, view_of(work))) as platform:
        answer = platform.post()

        assert (answer.status, answer.json) == (200, {"done": True})
        assert held_inside == [("open", PRICE, 0)]
        assert bank.holds() == [("captured", PRICE, PRICE)]
        assert bank.balance() == OPENING - PRICE


@pytest.mark.parametrize(
    ("used", "hold"), [(12, ("captured", PRICE, 12)), (0, ("voided", PRICE, 0)), (PRICE, None)]
)
def test_what_was_really_used_is_charged(
    bank: Bank, used: int, hold: tuple[object, ...] | None
) -> None:
    with selling(priced(bank, view_of(Work(lambda: credits_used(used))))) as platform:
        assert platform.post().status == 200
    assert bank.holds() == [hold or ("captured", PRICE, PRICE)]
    assert bank.balance() == OPENING - used


@pytest.mark.parametrize(
    ("used", "message"),
    [
        (PRICE + 1, f"must be at most {PRICE}, which are held, not {PRICE + 1}"),
        (-1, "a whole number"),
        (1.5, "a whole number"),
    ],
)
def test_a_use_that_cannot_be_is_an_error_and_nothing_is_charged(
    bank: Bank, used: Any, message: str
) -> None:
    caught: list[Exception] = []
    app = Flask("platform")
    app.register_error_handler(InvalidRequest, seen(caught, 500))
    app.post("/work")(priced(bank, view_of(Work(lambda: credits_used(used)))))
    with serving(app) as platform:
        assert platform.post().status == 500
    assert message in str(caught[0])
    assert bank.holds() == [("voided", PRICE, 0)]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda: ({"error": "no"}, 404), 404),
        (lambda: Response("no", 500), 500),
        (lambda: ("no", 400, {"x-own": "1"}), 400),
        (lambda: (jsonify(error="no"), 503), 503),
    ],
    ids=["dict", "response", "headers", "jsonify"],
)
def test_an_answer_that_says_it_failed_is_not_charged(
    bank: Bank, answer: Callable[[], Any], status: int
) -> None:
    with selling(priced(bank, view_of(Work(answer)))) as platform:
        assert platform.post().status == status
    assert bank.holds() == [("voided", PRICE, 0)]
    assert bank.balance() == OPENING


def test_a_redirect_is_a_success(bank: Bank) -> None:
    redirect = ("", 303, {"location": "/there"})
    with selling(priced(bank, view_of(Work(lambda: redirect)))) as platform:
        assert platform.post().status == 303
    assert bank.balance() == OPENING - PRICE


def test_an_exception_goes_on_unchanged_and_nothing_is_charged(bank: Bank) -> None:
    class Broken(Exception):
        pass

    broken = Broken("x")

    def fail() -> None:
        raise broken

    caught: list[Exception] = []
    app = Flask("platform")
    app.register_error_handler(Broken, seen(caught, 418))
    app.post("/work")(priced(bank, view_of(Work(fail, lambda: abort(404)))))
    with serving(app) as platform:
        assert platform.post().status == 418
        assert caught == [broken]
        assert bank.holds() == [("voided", PRICE, 0)]
        # And one of werkzeug's, which is an answer too
        assert platform.post().status == 404
    assert bank.holds() == [("voided", PRICE, 0)] * 2


def test_too_little_credit_is_402_and_the_view_does_not_run(bank: Bank) -> None:
    work = Work()
    with selling(priced(bank, view_of(work), amount=OPENING + 1)) as platform:
        answer = platform.post()

    shown = problem(answer)
    assert answer.status == 402
    assert shown["type"] == "urn:problem-type:billing:not-enough-credit"
    assert (shown["needed"], shown["balance"], shown["available"]) == (
        OPENING + 1,
        OPENING,
        OPENING,
    )
    assert (work.runs, bank.holds()) == (0, [])


def test_an_account_that_is_unknown_is_said_to_be_and_the_view_does_not_run(
    bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    with selling(priced(bank, view_of(work), account="clinic:never-opened")) as platform:
        answer = platform.post()

    assert answer.status == 404
    assert problem(answer)["type"] == "urn:problem-type:billing:unknown-account"
    assert "never-opened" not in answer.body.decode()
    assert "account 'clinic:never-opened' is unknown" in caplog.text
    assert work.runs == 0


def test_a_billing_that_cannot_be_reached_is_503_and_the_view_does_not_run(bank: Bank) -> None:
    work = Work()
    with (
        client_of(f"http://{ports.HOST}:{ports.find_free()}") as client,
        selling(priced(bank, view_of(work), client=client)) as platform,
    ):
        answer = platform.post()
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert problem(answer)["type"].endswith(":credit-unavailable")
    assert work.runs == 0


def test_the_callables_get_what_the_view_gets(bank: Bank) -> None:
    def work(clinic: str, pages: int) -> dict[str, object]:
        return {"clinic": clinic, "pages": pages}

    view = require_credits(
        lambda pages, **_: 2 * pages,
        client=lambda: bank.client,
        account=lambda clinic, **_: f"clinic:{clinic}",
        description="pages",
    )(work)
    path = "/<clinic>/<int:pages>"
    with selling(view, path=path) as platform:
        answer = platform.post(f"/{bank.account.partition(':')[2]}/7")
    assert answer.json["pages"] == 7
    assert bank.holds() == [("captured", 14, 14)]


def test_work_that_costs_nothing_asks_nobody(bank: Bank) -> None:
    with selling(priced(bank, view_of(Work()), amount=lambda: 0)) as platform:
        assert platform.post().status == 200
    assert (bank.proxy.asked, bank.holds()) == ([], [])


@pytest.mark.parametrize("amount", [-1, 1.5, True, "7", None, 10**13])
def test_an_amount_that_cannot_be_is_an_error(bank: Bank, amount: Any) -> None:
    work = Work()
    app = Flask("platform")
    app.register_error_handler(InvalidRequest, lambda error: ({"error": str(error)}, 500))
    app.post("/work")(priced(bank, view_of(work), amount=lambda: amount))
    with serving(app) as platform:
        assert "amount: must be" in platform.post().json["error"]
    assert work.runs == 0


def test_a_streamed_answer_is_paid_for_once_it_has_begun(bank: Bank) -> None:
    states: list[object] = []

    def view() -> Iterator[str]:
        states.extend(bank.holds())
        credits_used(12)
        yield "a"
        states.extend(bank.holds())
        yield "b"

    with selling(priced(bank, view)) as platform:
        answer = platform.post()

    assert (answer.status, answer.body) == (200, b"ab")
    assert states == [("open", PRICE, 0), ("captured", PRICE, 12)]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_streamed_answer_that_fails_before_it_begins_is_not_charged(
    bank: Bank, *, wrapped: bool
) -> None:
    def report() -> str:
        raise LookupError("no such report")

    def pieces() -> Iterator[str]:
        yield report()

    caught: list[Exception] = []
    app = Flask("platform")
    app.register_error_handler(LookupError, seen(caught, 404))
    app.post("/work")(priced(bank, (lambda: Response(pieces())) if wrapped else pieces))
    with serving(app) as platform:
        assert platform.post().status == 404

    assert len(caught) == 1
    assert bank.holds() == [("voided", PRICE, 0)]


@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_a_streamed_answer_is_whole_and_closed(bank: Bank, pieces: int) -> None:
    closed: list[bool] = []

    def view() -> Iterator[str]:
        try:
            yield from "x" * pieces
        finally:
            closed.append(True)

    with selling(priced(bank, view)) as platform:
        answer = platform.post()

    assert (answer.status, answer.body) == (200, b"x" * pieces)
    assert closed == [True]
    assert bank.balance() == OPENING - PRICE


def test_an_answer_that_cannot_be_paid_for_is_closed_and_not_handed_over() -> None:
    held = {
        "hold_id": "7", "account": "clinic:42", "state": "open", "amount": PRICE, "captured": 0,
    }  # fmt: skip
    closed: list[bool] = []

    def download() -> Response:
        answer = Response("dear")
        answer.call_on_close(lambda: closed.append(True))
        return answer

    app = Flask("platform")
    app.register_error_handler(Unauthorized, seen([], 500))
    with (
        ScriptedServer(Reply(201, held), Reply(401, {"detail": "revoked"})) as server,
        client_of(server.url) as client,
    ):
        app.post("/work")(require_credits(PRICE, client=client, account="clinic:42")(download))
        with serving(app) as platform:
            answer = platform.post()
    assert (answer.status, answer.json) == (500, {"sorry": True})
    assert closed == [True]


def test_the_view_still_finds_its_body(bank: Bank) -> None:
    def read() -> Any:
        return {"read": request.stream.read().decode()}

    def parse() -> Any:
        return {"read": request.form["a"], "file": request.files["f"].read().decode()}

    boundary = "--B\r\nContent-Disposition: form-data; name="
    form = f'{boundary}"a"\r\n\r\n1\r\n{boundary}"f"; filename="x"\r\n\r\nhello\r\n--B--\r\n'
    multipart = {"content-type": "multipart/form-data; boundary=B"}
    app = Flask("platform")
    app.add_url_rule("/read", "read", priced(bank, read), methods=["POST"])
    app.add_url_rule("/parse", "parse", priced(bank, parse), methods=["POST"])
    with serving(app) as platform:
        assert platform.post("/read", body=b"abc").json == {"read": "abc"}
        answer = platform.post("/parse", body=form.encode(), headers=multipart)
        assert answer.json == {"read": "1", "file": "hello"}


def test_it_works_under_and_over_other_decorators_and_on_methods(bank: Bank) -> None:
    def tagged(view: Callable[..., Any]) -> Callable[..., Any]:
        def tag(*args: Any, **kwargs: Any) -> Any:
            return {"tagged": view(*args, **kwargs).get_json()}

        return tag

    class View(MethodView):
        decorators = [require_credits(1, client=bank.client, account=bank.account)]  # noqa: RUF012

        @require_credits(2, client=bank.client, account=lambda *_, **__: bank.account)
        def post(self, name: str) -> Any:
            return {"name": name}

    def plain() -> Any:
        return {"plain": 1}

    app = Flask("platform")
    app.add_url_rule("/under", "under", tagged(priced(bank, plain)), methods=["POST"])
    app.add_url_rule("/method/<name>", view_func=View.as_view("method"))
    with serving(app) as platform:
        assert platform.post("/under").json == {"tagged": {"plain": 1}}
        assert platform.post("/method/x").json == {"name": "x"}
    assert bank.balance() == OPENING - PRICE - 3


def test_two_calls_in_one_request_are_not_one_price(bank: Bank) -> None:
    priced_step = priced(bank, lambda: {"step": 1})

    def view() -> Any:
        priced_step()
        with pytest.raises(InvalidRequest, match="called twice in one request"):
            priced_step()
        return {}

    with selling(view) as platform:
        assert platform.post(once="k").status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]


def test_a_call_inside_of_the_same_call_is_not_free(bank: Bank) -> None:
    def step(depth: int) -> Any:
        return {"deep": depth} if depth == 2 else paid_step(depth + 1)

    paid_step = priced(bank, step, account=lambda _: bank.account)
    caught: list[Exception] = []
    app = Flask("platform")
    app.register_error_handler(InvalidRequest, seen(caught, 500))
    app.post("/work")(lambda: paid_step(1))
    with serving(app) as platform:
        assert platform.post(once="k").status == 500

    assert "called twice in one request" in str(caught[0])
    assert bank.holds() == [("voided", PRICE, 0)]


def test_what_failed_may_be_tried_again_in_the_same_request(bank: Bank) -> None:
    def fail() -> None:
        raise OSError("once")

    step = priced(bank, view_of(Work(fail)))

    def view() -> Any:
        with suppress(OSError):
            step()
        return step()

    with selling(view) as platform:
        assert platform.post(once="k").status == 200
    assert bank.holds() == [("voided", PRICE, 0), ("captured", PRICE, PRICE)]


def test_a_hold_that_cannot_be_voided_is_logged_by_its_number_alone(
    bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Any:
        bank.proxy.is_down = True
        return "no", 500

    with (
        caplog.at_level(logging.DEBUG),
        selling(priced(bank, view_of(Work(fail)))) as platform,
    ):
        assert platform.post(once="Asha Rao", body=b'{"patient": "Ravi"}').status == 500
    [line] = [record for record in caplog.records if record.name == "billing_client"]
    assert "could not be voided (Unreachable): it will expire by itself" in line.getMessage()
    for secret in ("Asha", "Ravi", API_KEY):
        assert secret not in caplog.text
    assert bank.holds() == [("open", PRICE, 0)]
