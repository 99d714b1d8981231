"""`require_credits` on a Flask view that is asked for again: lost answers, copies, failures."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, request

from billing_client import require_credits
from tests.billing_client.bank import (
    OPENING,
    Bank,
    Platform,
    client_of,
    problem,
    selling,
    serving,
)
from tests.billing_client.scripted_server import Reply, ScriptedServer
from tests.billing_client.views import PRICE, Work, priced, view_of
from tests.server_process import Answer


def test_a_hold_of_which_nobody_heard_is_found_by_the_repeat(bank: Bank) -> None:
    bank.proxy.lose("place", times=2)
    work = Work()
    with selling(priced(bank, view_of(work))) as platform:
        assert platform.post(once="k").status == 503
        assert (work.runs, bank.holds()) == (0, [("open", PRICE, 0)])
        assert platform.post(once="k").status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]


def test_a_customer_whose_answer_was_lost_asks_again_and_pays_once(bank: Bank) -> None:
    work = Work()
    with selling(priced(bank, view_of(work))) as platform:
        answers = [platform.post(once="order-7") for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 3
    assert work.runs == 3
    assert bank.holds() == [("captured", PRICE, PRICE)]
    assert bank.balance() == OPENING - PRICE


@pytest.mark.parametrize("steps", [["place"], ["capture"], ["place", "capture"]], ids=str)
def test_a_lost_answer_of_the_api_is_asked_for_again(bank: Bank, steps: list[str]) -> None:
    for step in steps:
        bank.proxy.lose(step)
    with selling(priced(bank, view_of(Work()))) as platform:
        assert platform.post().status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]
    for step in steps:
        assert bank.proxy.count(step) == 2


def test_a_void_whose_answer_was_lost_is_done(bank: Bank) -> None:
    bank.proxy.lose("void")
    with selling(priced(bank, view_of(Work(lambda: ("no", 500))))) as platform:
        assert platform.post().status == 500
    assert bank.holds() == [("voided", PRICE, 0)]


@pytest.mark.parametrize("lost", ["answer", "request"])
def test_work_whose_charge_is_not_known_is_not_handed_over_until_it_is(
    bank: Bank, lost: str
) -> None:
    # Given a capture that nobody answers, done or not
    def lose() -> None:
        bank.proxy.is_down = lost == "request"
        bank.proxy.lose("capture", times=2)

    work = Work(lose)
    with selling(priced(bank, view_of(work))) as platform:
        first = platform.post(once="order-7")
        assert first.status == 503
        assert problem(first)["idempotency_key"] == "order-7"
        bank.proxy.is_down = False
        bank.proxy.lose("capture", times=0)
        # When the customer asks again
        again = platform.post(once="order-7")
    # Then the work is handed over, paid once
    assert again.status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]
    assert bank.balance() == OPENING - PRICE


def test_who_sent_no_key_is_told_one_to_ask_again_with(bank: Bank) -> None:
    work = Work(lambda: bank.proxy.lose("capture", times=2))
    with selling(priced(bank, view_of(work))) as platform:
        first = platform.post()
        assert first.status == 503
        assert platform.post(once=problem(first)["idempotency_key"]).status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]


def test_without_a_key_each_request_is_work_of_its_own(bank: Bank) -> None:
    with selling(priced(bank, view_of(Work()))) as platform:
        assert [platform.post().status for _ in range(2)] == [200, 200]
    assert bank.balance() == OPENING - 2 * PRICE


def test_a_key_that_failed_is_tried_under_a_new_hold(bank: Bank) -> None:
    work = Work(lambda: ("no", 500), lambda: ("no", 500))
    with selling(priced(bank, view_of(work))) as platform:
        assert [platform.post(once="k").status for _ in range(4)] == [500, 500, 200, 200]
    assert bank.holds() == [
        ("voided", PRICE, 0), ("voided", PRICE, 0), ("captured", PRICE, PRICE),
    ]  # fmt: skip


def test_a_key_that_fails_for_ever_comes_to_an_end(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing_client.paid_work.MOST_HOLDS", 3)
    work = Work(*[lambda: ("no", 500)] * 9)
    with selling(priced(bank, view_of(work))) as platform:
        answers = [platform.post(once="k") for _ in range(4)]
    assert [answer.status for answer in answers] == [500, 500, 500, 409]
    assert problem(answers[3])["type"].endswith(":too-many-attempts")
    assert work.runs == 3


def test_a_hold_whose_time_was_up_before_the_retry_frees_itself(bank: Bank) -> None:
    def lose() -> None:
        bank.proxy.is_down = True

    view = priced(bank, view_of(Work(lose)), expires_in_seconds=1)
    with selling(view) as platform:
        assert platform.post(once="k").status == 503
        bank.proxy.is_down = False
        bank.wait_for_expiry()
        assert platform.post(once="k").status == 200
    bank.assert_captured_after_expiry()
    assert bank.balance() == OPENING - PRICE


def test_a_hold_whose_time_is_up_while_the_view_runs_is_charged_all_the_same(bank: Bank) -> None:
    view = priced(bank, view_of(Work(bank.wait_for_expiry)), expires_in_seconds=1)
    with selling(view) as platform:
        assert platform.post(once="k").status == 200
        assert platform.post(once="k").status == 200
    bank.assert_captured_after_expiry()
    assert bank.balance() == OPENING - PRICE


def test_a_capture_of_the_last_moment_is_not_followed_by_another() -> None:
    # Given a hold that was captured so late that the clock has it expired already
    hold = {
        "hold_id": "7", "account": "clinic:42", "state": "open", "amount": PRICE, "captured": 0,
    }  # fmt: skip
    finished = {"type": "urn:problem-type:billing:hold-finished", "state": "captured"}
    replies = (
        Reply(201, hold, {"Idempotent-Replayed": "true"}), Reply(200, {**hold, "state": "expired"}),
        Reply(409, finished), Reply(500),
    )  # fmt: skip
    with ScriptedServer(*replies) as server, client_of(server.url) as client:
        view = require_credits(PRICE, client=client, account="clinic:42")(lambda: {"done": True})
        with selling(view) as platform:
            assert platform.post(once="k").status == 200
    # Then nothing more was asked for
    assert [asked.path for asked in server.asked] == [
        "/v1/holds", "/v1/holds/7", "/v1/holds/7/void",
    ]  # fmt: skip


def test_work_that_cannot_be_paid_any_more_is_not_handed_over(bank: Bank) -> None:
    def spend_all() -> None:
        bank.client.charge_credits(bank.account, OPENING - PRICE)
        bank.wait_for_expiry()
        bank.client.charge_credits(bank.account, PRICE)

    with selling(priced(bank, view_of(Work(spend_all)), expires_in_seconds=1)) as platform:
        assert platform.post().status == 402
    assert bank.balance() == 0


def test_twenty_copies_of_a_request_run_the_view_once(bank: Bank) -> None:
    # Given a view that takes as long as it takes to refuse the others
    refused = threading.Semaphore(0)

    def wait() -> None:
        for _ in range(19):
            assert refused.acquire(timeout=30)

    work = Work(wait)
    app = Flask("platform")
    app.post("/work")(priced(bank, view_of(work)))

    def ask(platform: Platform) -> Answer:
        answer = platform.post(once="k")
        if answer.status == 409:
            refused.release()
        return answer

    # When twenty ask at once under one key
    with serving(app) as platform, ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: ask(platform), range(20)))
        # Then one is served, the others are asked to come again
        assert sorted(answer.status for answer in answers) == [200] + [409] * 19
        late = next(answer for answer in answers if answer.status == 409)
        assert problem(late)["type"] == "urn:problem-type:billing:request-in-progress"
        assert int(late.headers["retry-after"]) > 0
        assert work.runs == 1
        # And when they do, it is paid
        assert platform.post(once="k").status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]


def test_a_copy_of_another_process_keeps_out_until_it_must_be_over(bank: Bank) -> None:
    # Given a hold under the key of the work, by a process that lives or has died
    bank.client.place_hold(
        bank.account, PRICE, expires_in_seconds=900, idempotency_key=f"own:w-1:{bank.account}"
    )
    work = Work()
    with selling(priced(bank, view_of(work), key="w-1")) as platform:
        assert platform.post().status == 409
    assert work.runs == 0
    # When the time of any run is over
    time.sleep(1)
    with selling(priced(bank, view_of(work), key="w-1", alone_for_seconds=1)) as platform:
        # Then the work is done, under the same hold
        assert platform.post().status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]


def test_copies_that_may_run_at_the_same_moment_are_charged_once(bank: Bank) -> None:
    together = threading.Barrier(4)
    work = Work(*[lambda: {"place": together.wait(20)}] * 4)
    with (
        selling(priced(bank, view_of(work), alone_for_seconds=None)) as platform,
        ThreadPoolExecutor(4) as threads,
    ):
        answers = list(threads.map(lambda _: platform.post(once="k"), range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert bank.holds() == [("captured", PRICE, PRICE)]
    assert bank.balance() == OPENING - PRICE


def test_a_copy_that_fails_does_not_make_the_other_one_free(bank: Bank) -> None:
    failed = threading.Event()

    def wait() -> None:
        assert failed.wait(20)

    work = Work(wait, lambda: ("no", 500))
    with (
        selling(priced(bank, view_of(work), alone_for_seconds=None)) as platform,
        ThreadPoolExecutor(1) as threads,
    ):
        slow = threads.submit(platform.post, once="k")
        while not work.runs:
            pass
        assert platform.post(once="k").status == 500
        failed.set()
        assert slow.result().status == 200
        assert platform.post(once="k").status == 200
    assert bank.holds() == [("voided", PRICE, 0), ("captured", PRICE, PRICE)]


def test_a_key_stands_for_one_request_of_one_account(bank: Bank) -> None:
    other = bank.another_account()
    app = Flask("platform")
    for path in ("/work", "/other"):
        view = priced(bank, view_of(Work()), account=lambda: request.headers["x-account"])
        app.add_url_rule(path, path, view, methods=["POST"])
    mine, theirs = {"x-account": bank.account}, {"x-account": other}
    with serving(app) as platform:
        for headers, path, body in (
            (mine, "/work", b"{}"), (theirs, "/work", b"{}"), (mine, "/other", b"{}"),
            (mine, "/work?page=2", b"{}"), (mine, "/work", b'{"more": 1}'), (mine, "/work", b"{}"),
        ):  # fmt: skip
            assert platform.post(path, once="k", headers=headers, body=body).status == 200
    assert bank.balance(other) == OPENING - PRICE
    assert bank.balance() == OPENING - 4 * PRICE


def test_a_key_whose_price_has_changed_is_refused(bank: Bank) -> None:
    prices = [PRICE, PRICE + 1]
    work = Work()
    with selling(priced(bank, view_of(work), amount=lambda: prices.pop(0))) as platform:
        assert platform.post(once="k").status == 200
        refused = platform.post(once="k")
    assert refused.status == 409
    assert problem(refused)["type"].endswith(":idempotency-conflict")
    assert work.runs == 1


def test_a_key_of_any_length_and_letters_will_do(bank: Bank) -> None:
    with selling(priced(bank, view_of(Work()))) as platform:
        for key in ("x" * 5_000, "Asha Rao +91 98765 43210", "a#2"):
            assert [platform.post(once=key).status for _ in range(2)] == [200, 200]
    assert bank.balance() == OPENING - 3 * PRICE
    # And the back office learns nothing of it
    assert "Asha" not in f"{[asked.headers for asked in bank.proxy.asked]}"


def test_a_key_of_the_platforms_own_stands_for_the_work_of_an_account(bank: Bank) -> None:
    view = priced(bank, view_of(Work()), key=lambda: request.headers["x-job"])
    with selling(view) as platform:
        for job in ("job-1", "job-1", "job-2", "x" * 300, "x" * 300):
            # Whatever else is in the request
            assert platform.post(headers={"x-job": job}, body=job.encode()).status == 200
    assert bank.balance() == OPENING - 3 * PRICE
    keys = {asked.headers.get("idempotency-key") for asked in bank.proxy.asked}
    assert f"own:job-1:{bank.account}" in keys


def test_a_form_that_another_decorator_has_read_is_told_apart(bank: Bank) -> None:
    inner = priced(bank, lambda: {"file": request.files["f"].read().decode()})

    def outer() -> Any:
        assert request.form["a"]
        return inner()

    def form(content: str) -> bytes:
        line = "--B\r\nContent-Disposition: form-data; name="
        text = f'{line}"a"\r\n\r\n1\r\n{line}"f"; filename="x"\r\n\r\n{content}\r\n--B--\r\n'
        return text.encode()

    headers = {"content-type": "multipart/form-data; boundary=B"}
    with selling(outer) as platform:
        for content in ("one", "one", "two"):
            answer = platform.post(once="k", body=form(content), headers=headers)
            assert answer.json == {"file": content}
    assert bank.balance() == OPENING - 2 * PRICE
