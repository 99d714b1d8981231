"""`billing privacy erase`: what is found of a person, what is blanked, what stays and is said."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import clock
import settings
from db import deliveries, inbox
from db.deliveries import NewEvent
from db.inbox import Finished
from db.session import transaction
from tests.billing.disputes.given import approve, charge, dispute
from tests.billing.given import assert_ledger_is_clean, rows
from tests.cli.runner import Ran, give, open_clinic, run
from tests.gateways import bodies

pytestmark = pytest.mark.usefixtures("database")

ASHA = ("--email", "asha@example.in", "--phone", "98123 45678", "--vpa", "asha@okbank")
REASON = ("--reason", "request 7")


def record(body: bytes, *, event_id: str, state: str = "done", source: str = "razorpay") -> None:
    """A delivery that was worked on, or waits, or failed."""
    with transaction() as session:
        deliveries.record(session, [NewEvent(source, event_id, body, clock.now())])
        if state == "pending":
            return
        lease = inbox.lease(session, source, now=clock.now())
        assert lease is not None
        ends = [(id_, Finished(state, outcome="captured")) for id_ in lease.event_ids]  # type: ignore[arg-type]
        inbox.finish(session, ends, now=clock.now())


def paid(**payer: str) -> bytes:
    """A captured payment's webhook, in the gateway's form."""

    def edit(content: dict[str, Any]) -> None:
        content["payload"]["payment"]["entity"].update(payer)

    return bodies.edited(bodies.razorpay("payment.captured.upi"), edit)


def erase(*arguments: str) -> Ran:
    return run("privacy", "erase", *arguments, *REASON, "--json")


def by_table(ran: Ran) -> dict[str, tuple[int, int]]:
    """The rows that are blanked, and those that wait, of each table with any."""
    return {
        one["table"]: (one["rows"], one["waiting"])
        for one in ran.json["tables"]
        if one["rows"] or one["waiting"]
    }


def left() -> Sequence[tuple[object, ...]]:
    """The deliveries that still have a body."""
    return rows("SELECT event_id FROM inbound_events WHERE body <> '' ORDER BY id")


def test_a_payer_known_by_address_phone_or_vpa_is_erased_and_nobody_else() -> None:
    # Given payments of a person, each known by something else, and one of another payer
    nobody = {"email": "void@razorpay.com", "contact": "+911111111111", "vpa": "x@y"}
    record(paid(**nobody | {"email": "Asha@Example.in"}), event_id="by email")
    record(paid(**nobody | {"contact": "+919812345678"}), event_id="by phone")
    record(paid(**nobody | {"vpa": "asha@okbank"}), event_id="by vpa")
    record(paid(**nobody | {"email": "natasha@example.in"}), event_id="another")

    assert by_table(erase(*ASHA, "--yes")) == {"inbound_events": (3, 0)}

    # Then only the other body is left, and what recognises a repeat stays
    assert left() == [("another",)]
    assert rows(
        "SELECT event_id, state, outcome, CAST(body_sha256 AS text), blanked_at IS NOT NULL"
        " FROM inbound_events WHERE event_id = 'by phone'"
    ) == [
        (
            "by phone", "done", "captured",
            "\\x" + sha256(paid(**nobody | {"contact": "+919812345678"})).hexdigest(), True,
        )
    ]  # fmt: skip
    assert by_table(erase(*ASHA, "--yes")) == {}


def test_the_audit_log_has_counts_and_nothing_of_the_person() -> None:
    record(paid(email="asha@example.in"), event_id="e1")

    subject = erase(*ASHA, "--yes").json["subject"]

    [entry] = run("audit-log", "--subject", subject, "--json").json
    assert entry["action"] == "privacy.erased"
    assert entry["before"] is None
    assert entry["after"] == {
        "known_by": ["email", "phone", "vpa"],
        "rows": {"inbound_events": 1},
        "reason": "request 7",
    }
    log = json.dumps(run("audit-log", "--json").json)
    assert "asha" not in log
    assert "12345678" not in log.replace(" ", "")


def test_a_reason_that_names_the_person_is_refused_because_it_is_kept() -> None:
    record(paid(email="asha@example.in"), event_id="e1")

    ran = run("privacy", "erase", *ASHA, "--reason", "asha@example.in asked for it", "--yes")

    assert "--reason names the person" in ran.error
    assert left() == [("e1",)]


def test_without_yes_it_shows_what_it_would_do_and_does_nothing() -> None:
    record(paid(email="asha@example.in"), event_id="e1")

    dry = erase(*ASHA, "--dry-run")
    unsure = run("privacy", "erase", *ASHA, *REASON)

    assert (dry.json["erased"], dry.json["subject"]) == (False, None)
    assert by_table(dry) == {"inbound_events": (1, 0)}
    assert unsure.exit_code == 1
    assert "nothing was erased: repeat it with --yes" in unsure.err
    assert "inbound_events" in unsure.out
    assert left() == [("e1",)]
    assert rows("SELECT 1 FROM billing_audit_log WHERE action = 'privacy.erased'") == []


def test_what_is_not_erased_is_said_with_the_reason() -> None:
    kept = {one["column"]: one["why"] for one in erase(*ASHA, "--dry-run").json["kept"]}

    assert "hash chain" in kept["credit_transactions.description"]
    assert "72 months" in kept["accounts.name"]
    assert "audit log" in kept["billing_audit_log.after"]
    assert "hold_events.actor" in kept


def test_rows_that_are_worked_on_or_can_be_replayed_are_left_and_counted() -> None:
    record(paid(email="asha@example.in", id="pay_1"), event_id="dead", state="dead")
    record(paid(email="asha@example.in", id="pay_2"), event_id="pending", state="pending")

    assert by_table(erase(*ASHA, "--yes")) == {"inbound_events": (0, 2)}
    assert left() == [("dead",), ("pending",)]
    assert by_table(erase(*ASHA, "--dead", "--yes")) == {"inbound_events": (1, 1)}
    assert left() == [("pending",)]


def test_an_erased_dead_event_is_refused_by_name_when_it_is_replayed() -> None:
    record(paid(email="asha@example.in"), event_id="dead", state="dead")
    erase(*ASHA, "--dead", "--yes")
    [(id_,)] = rows("SELECT id FROM inbound_events")

    ran = run("inbox", "replay", str(id_))

    assert ran.exit_code == 1
    assert f"the content of [{id_}] was blanked" in ran.err
    assert rows("SELECT state FROM inbound_events") == [("dead",)]
    assert run("inbox", "replay", "--all-dead", "--json").json["replayed"] == []


def test_a_lead_is_erased_with_its_disputes_and_the_books_stay_whole() -> None:
    # Given two charged leads, both disputed, the disputes decided
    open_clinic()
    give("1000")
    charge("L-17", "L-18")
    for lead in ("L-17", "L-18"):
        approve(dispute(lead, description="Asha, 98765 43210", evidence={"call": "no such person"}))
    record(b'{"data": {"lead_id": "L-17"}}', event_id="L-17", source="leads")
    record(b'{"data": {"lead_id": "L-170"}}', event_id="L-170", source="leads")
    ledger = rows("SELECT * FROM credit_transactions ORDER BY id")

    ran = erase("--lead", "L-17", "--yes")

    assert by_table(ran) == {"inbound_events": (1, 0), "lead_disputes": (1, 0)}
    assert left() == [("L-170",)]
    shown = rows("SELECT lead_id, description, evidence, notes, state, credits_refunded"
                 " FROM lead_disputes ORDER BY id")  # fmt: skip
    assert shown == [
        ("L-17", "", None, None, "approved", 180),
        ("L-18", "Asha, 98765 43210", {"call": "no such person"}, "called, true", "approved", 180),
    ]
    assert rows("SELECT * FROM credit_transactions ORDER BY id") == ledger
    assert_ledger_is_clean()


def test_a_payment_is_erased_with_its_refund_and_the_answers_that_name_it() -> None:
    # Given the webhooks of a payment and of its refund, and an answer of the API about it
    record(bodies.razorpay("payment.captured.upi"), event_id="captured")
    record(refund_of("pay_ReF7hT2nVb5xKc"), event_id="refund")
    record(refund_of("pay_another"), event_id="another")
    with transaction() as session:
        session.execute(
            text(
                "INSERT INTO api_requests (caller, idempotency_key, request, request_hash, status,"
                " answer, created_at) VALUES ('house', 'k-1', 'POST /v1/refunds', '\\x01', 201,"
                " :answer, :now)"
            ),
            {"answer": '{"payment_id":"pay_ReF7hT2nVb5xKc"}', "now": clock.now()},
        )

    ran = erase("--payment", "pay_ReF7hT2nVb5xKc", "--yes")

    assert by_table(ran) == {"inbound_events": (2, 0), "api_requests": (1, 0)}
    assert left() == [("another",)]
    assert rows("SELECT status, answer, folded_at IS NOT NULL FROM api_requests") == [
        (201, "{}", True)
    ]


def refund_of(payment_id: str) -> bytes:
    """A refund's webhook of some payment."""

    def edit(content: dict[str, Any]) -> None:
        content["payload"]["refund"]["entity"]["payment_id"] = payment_id
        del content["payload"]["payment"]

    return bodies.edited(bodies.razorpay("refund.processed.card.full"), edit)


def test_an_account_that_is_a_persons_own_is_erased_by_what_belongs_to_it() -> None:
    open_clinic()
    open_clinic("clinic:421")
    give("1000")
    charge("L-17")
    approve(dispute("L-17", description="wrong number"))
    for ref in ("clinic:42", "clinic:421"):
        body = json.dumps({"data": {"lead_id": f"of {ref}", "account": ref}}).encode()
        record(body, event_id=ref, source="leads")

    ran = erase("--account", "clinic:42", "--yes")

    assert by_table(ran) == {"inbound_events": (1, 0), "lead_disputes": (1, 0)}
    assert left() == [("clinic:421",)]
    assert run("accounts", "show", "clinic:42", "--json").json["name"] == "City Clinic"
    assert_ledger_is_clean()


def on_a_terminal(answer: str) -> tuple[int, str]:
    """What the command ends with and shows to a person who answers its question so."""
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("billing")), "privacy", "erase", *ASHA, *REASON],
        stdin=its_end, stdout=its_end, stderr=its_end, cwd=settings.PROJECT_DIR,
    ) as process:  # fmt: skip
        os.close(its_end)
        shown = b""
        while b"cannot be undone" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, f"{answer}\n".encode())
        with suppress(OSError):  # the other end is closed
            while more := os.read(terminal, 4096):
                shown += more
    os.close(terminal)
    return process.returncode, shown.decode()


def test_on_a_terminal_it_asks_and_a_no_erases_nothing() -> None:
    record(paid(email="asha@example.in"), event_id="e1")

    code, shown = on_a_terminal("n")
    assert code == 1
    assert "Erase it (rows: 1)?" in shown
    assert "nothing was erased" in shown
    assert left() == [("e1",)]

    code, shown = on_a_terminal("y")
    assert code == 0
    assert "billing audit-log --subject erasure:" in shown
    assert left() == []


def test_an_open_dispute_waits_for_its_decision() -> None:
    open_clinic()
    give("1000")
    charge("L-17")
    dispute("L-17", description="Asha, 98123 45678")

    assert by_table(erase(*ASHA, "--yes")) == {"lead_disputes": (0, 1)}
    assert rows("SELECT description FROM lead_disputes") == [("Asha, 98123 45678",)]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "give at least one of --email"),
        (("--email", "asha"), "--email must be of the form"),
        (("--phone", "12"), "--phone must be a number"),
    ],
)
def test_what_identifies_nobody_is_one_line(arguments: tuple[str, ...], problem: str) -> None:
    assert problem in run("privacy", "erase", *arguments, *REASON, "--yes").error
