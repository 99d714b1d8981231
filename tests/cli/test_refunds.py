"""`billing refunds preview|request|list|show` and `billing chargebacks list`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog

from tests.between import once_read
from tests.billing.given import assert_ledger_is_clean, balance, post_all, rows, take
from tests.billing.returns.given import held
from tests.cli.runner import Ran, open_clinic, run, run_on_terminal
from tests.gateways.conftest import Sim
from tests.tasks.conftest import sim
from tests.tasks.given import deliver, work
from tests.tasks.returns.given import dispute_event, open_dispute, paid, refunds_at

__all__ = ["sim"]
pytestmark = pytest.mark.usefixtures("sim", "redis")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command silences what a nudge would log, for its own process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def clinic(database: str) -> None:
    open_clinic()


def request(payment_id: str, *more: str) -> Ran:
    return run(
        "refunds", "request", payment_id, "--reason", "asked", "--actor", "ops", "--json", *more
    )


def listed(*options: str, what: str = "refunds") -> list[Any]:
    found: list[Any] = run(what, "list", *options, "--json").json
    return found


def test_a_preview_tells_what_would_be_owed_and_changes_nothing(sim: Sim) -> None:
    payment_id = paid(sim)
    post_all(take(5_200, key="spent"))

    found = run("refunds", "preview", payment_id, "--amount-paise", "250000", "--json").json

    assert found == {
        "payment_id": payment_id, "account": "clinic:42", "amount_paise": 250_000,
        "refundable_paise": 500_000, "credits": 2_500, "bonus_credits": 250, "unspent": 300,
        "debt": 2_450, "let_go": 0,
    }  # fmt: skip
    assert run("refunds", "preview", payment_id, "--json").json["debt"] == 5_200
    shown = run("refunds", "preview", payment_id)
    assert (shown.exit_code, "debt" in shown.out) == (0, True)
    assert (balance(), held(), listed(), refunds_at(sim, payment_id)) == (300, 0, [], [])


def test_a_preview_is_of_one_moment_though_the_payment_is_refunded_meanwhile(sim: Sim) -> None:
    payment_id = paid(sim)
    preview = ("refunds", "preview", payment_id, "--json")
    before = run(*preview).json

    with once_read("billing_refunds", lambda: request(payment_id, "--amount-paise", "250000")):
        shown = run(*preview).json

    assert shown == before
    assert run(*preview).json["refundable_paise"] == 250_000


def test_a_refund_does_what_its_preview_said(sim: Sim) -> None:
    payment_id = paid(sim, "stripe")
    post_all(take(5_200, key="spent"))

    shown = request(payment_id, "--amount-paise", "250000").json

    datetime.fromisoformat(shown.pop("created_at"))
    assert shown == {
        "refund_id": shown["refund_id"], "payment_id": payment_id, "account": "clinic:42",
        "state": "processed", "reason": "asked", "amount_paise": 250_000,
        "credits_taken": 2_750, "debt": 2_450, "last_error": None,
    }  # fmt: skip
    assert balance() == -2_450
    assert [one["amount"] for one in refunds_at(sim, payment_id)] == [250_000]
    assert_ledger_is_clean()


def test_a_key_is_one_refund_and_without_one_each_is_new(sim: Sim) -> None:
    payment_id = paid(sim)
    part = ("--amount-paise", "100000")
    first = request(payment_id, "--key", "k", *part).json

    assert request(payment_id, "--key", "k", *part).json == first
    assert request(payment_id, *part).json["refund_id"] != first["refund_id"]
    assert "other content" in request(payment_id, "--key", "k", "--amount-paise", "1").error
    assert len(refunds_at(sim, payment_id)) == 2


def test_refunds_are_listed_newest_first_by_state_and_shown(sim: Sim) -> None:
    payment_id = paid(sim)
    done = request(payment_id, "--amount-paise", "100000").json["refund_id"]
    sim.set(low_balance=True)
    refused = request(payment_id).json["refund_id"]

    assert [one["refund_id"] for one in listed()] == [refused, done]
    assert [one["refund_id"] for one in listed("--state", "processed")] == [done]
    assert [one["refund_id"] for one in listed("--limit", "1")] == [refused]
    assert listed("--state", "unknown") == []
    assert "No refunds match" in run_on_terminal("refunds", "list", "--state", "unknown").out
    shown = run("refunds", "show", str(done), "--json").json
    for time in ("created_at", "settled_at"):
        datetime.fromisoformat(shown.pop(time))
    [there] = refunds_at(sim, payment_id)
    assert shown == {
        "refund_id": done, "gateway_refund_id": there["id"], "payment_id": payment_id,
        "state": "processed", "amount_paise": 100_000, "credit": "taken", "credits": 1_000,
        "bonus_credits": 100, "debt": 0, "reason": "asked", "requested_by": "ops",
        "last_error": None, "settlement_error": None, "settlement_failed_at": None,
        "request_id": None,
    }  # fmt: skip
    assert "enough balance" in run("refunds", "show", str(refused)).out
    assert rows("SELECT DISTINCT door FROM billing_audit_log WHERE action = 'refund.requested'") \
        == [("cli",)]  # fmt: skip


def test_what_is_not_there_or_too_much_is_one_line(sim: Sim) -> None:
    payment_id = paid(sim)

    assert "pay_of_nobody" in run("refunds", "preview", "pay_of_nobody").error
    assert "pay_of_nobody" in request("pay_of_nobody").error
    assert "500000 paise left" in request(payment_id, "--amount-paise", "500001").error
    assert (
        "reason" in run("refunds", "request", payment_id, "--reason", " ", "--actor", "ops").error
    )
    assert "\\udcff" in request("pay_\udcff").error
    assert "unknown refund 7" in run("refunds", "show", "7").error
    assert "unknown refund" in run("refunds", "show", str(10**30)).error
    for wrong in (("request", payment_id, "--actor", "ops"), ("show", "0"),
                  ("list", "--state", "melted"),
                  ("preview", payment_id, "--amount-paise", "0")):  # fmt: skip
        assert run("refunds", *wrong).exit_code == 2
    assert listed() == []


@pytest.mark.parametrize("option", ["--actor", "--key"])
def test_an_actor_or_a_key_that_cannot_be_recorded_is_refused(sim: Sim, option: str) -> None:
    payment_id = paid(sim)

    assert "control characters" in request(payment_id, option, "a\x00b").error
    assert (listed(), refunds_at(sim, payment_id), held()) == ([], [], 0)


def test_open_chargebacks_are_listed_by_the_day_to_answer(sim: Sim) -> None:
    payments = [paid(sim, key=f"op-{i}") for i in range(3)]
    disputes = [open_dispute(sim, payment_id) for payment_id in payments]
    for days, dispute in zip((5, 1, 3), disputes, strict=True):
        dispute["respond_by"] = 1_790_000_000 + days * 86_400
        deliver(dispute_event(dispute, "created", sim), source="razorpay")
        work("razorpay")
    sim.post(f"/simulator/disputes/{disputes[2]['id']}", {"status": "lost"})
    deliver(dispute_event(disputes[2], "lost", sim), source="razorpay")
    work("razorpay")

    soon, later = listed("--open", what="chargebacks")

    assert datetime.fromisoformat(soon.pop("respond_by")).timestamp() == 1_790_086_400
    assert soon == {
        "dispute_id": disputes[1]["id"], "payment_id": payments[1], "account": "clinic:42",
        "state": "open", "amount_paise": 500_000, "phase": "chargeback",
        "reason_code": disputes[1]["reason_code"], "moves_money": True, "credit": "reserved",
        "credits": 5_000, "bonus_credits": 500, "debt": 0,
        "settlement_error": None, "settlement_failed_at": None, "request_id": None,
    }  # fmt: skip
    assert later["dispute_id"] == disputes[0]["id"]
    assert [(one["dispute_id"], one["credit"]) for one in listed(what="chargebacks")] == [
        (disputes[2]["id"], "taken"), (disputes[1]["id"], "reserved"),
        (disputes[0]["id"], "reserved"),
    ]  # fmt: skip
    assert "respond by" in run_on_terminal("chargebacks", "list", "--open").out
    assert run("accounts", "show", "clinic:42", "--json").json["review_reason"] == "chargeback"


def test_without_chargebacks_it_says_so() -> None:
    assert "No chargebacks" in run_on_terminal("chargebacks", "list", "--open").out
    assert listed(what="chargebacks") == []
