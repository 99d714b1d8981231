"""What waits is found, counted and aged; each question reads an index, not the table."""

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import text

import clock
from billing import oversight
from billing.oversight import CHECKS, Finding, Level
from billing.oversight.check import Check
from billing.payments import Seen
from billing.returns import chargebacks, refund_intake
from db import deliveries
from db.deliveries import NewEvent
from db.session import transaction
from tests.billing.given import open_account
from tests.billing.payments.given import news, open_order, take_in
from tests.billing.plans import given as planning
from tests.billing.returns.given import dispute_fact, refund_fact
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")


def look() -> dict[str, Finding]:
    with transaction() as session:
        return {finding.what: finding for finding in oversight.look(session, now=clock.now())}


def test_in_an_empty_house_all_is_well() -> None:
    found = look()
    assert {finding.level for finding in found.values()} == {Level.WELL}
    assert {finding.count for finding in found.values()} == {0}


def test_an_event_that_nobody_works_on_becomes_worse_with_its_age() -> None:
    received = clock.now()
    with transaction() as session:
        deliveries.record(session, [NewEvent("leads", "msg_1", b"{}", received)])

    seen = []
    for minutes in (0, 3, 20):
        with clock.frozen(received + timedelta(minutes=minutes)):
            waiting = look()["events_waiting"]
        seen.append((waiting.level, waiting.count, waiting.oldest_seconds))

    assert seen == [(Level.WELL, 1, 0), (Level.ATTENTION, 1, 180), (Level.BROKEN, 1, 1_200)]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE inbound_events SET state = 'dead'", "events_dead"),
        ("UPDATE accounts SET review_reason = 'chargeback' WHERE ref = 'clinic:42'",
         "accounts_to_review"),
        ("UPDATE billing_payments SET state = 'unmatched', reason = 'no_order' WHERE id = 1",
         "payments_to_place"),
        ("UPDATE billing_payments SET state = 'authorized', order_id = NULL WHERE id = 1",
         "payments_to_place"),
        ("UPDATE billing_orders SET last_error = 'x', next_ask_at = created_at WHERE id = 1",
         "orders_unsettled"),
        ("UPDATE billing_refunds SET last_error = 'x', next_ask_at = created_at WHERE id = 1",
         "refunds_unanswered"),
        ("UPDATE billing_refunds SET settlement_failed_at = created_at, settled_at = NULL",
         "refund_credit_unsettled"),
        ("UPDATE billing_chargebacks SET settlement_failed_at = created_at, settled_at = NULL",
         "chargeback_credit_unsettled"),
        ("UPDATE account_plans SET grant_problem = 'x'", "plans_put_off"),
        ("UPDATE account_plans SET step_problem = 'x'", "plans_put_off"),
    ],
)  # fmt: skip
def test_what_needs_a_person_needs_attention_at_once(statement: str, what: str) -> None:
    open_account()
    open_order()
    take_in(news(seen=Seen.AUTHORIZED))
    with transaction() as session:
        deliveries.record(session, [NewEvent("leads", "msg_1", b"{}", clock.now())])
        refund_intake.record_facts(session, [refund_fact()], actor="test")
        chargebacks.record_facts(session, [dispute_fact()])
    planning.open_pharmacy()
    planning.buy(planning.PLAN)
    with clock.frozen(clock.now() + timedelta(minutes=1)):
        assert (look()[what].level, look()[what].count) == (Level.WELL, 0)
    with owner() as connection:
        connection.execute(text(statement))

    assert (look()[what].level, look()[what].count) == (Level.ATTENTION, 1)


def test_a_breach_that_the_daily_check_found_is_broken() -> None:
    with owner() as connection:
        connection.execute(
            text(
                "INSERT INTO ledger_checks (started_at, finished_at, accounts, transactions,"
                " breaches) VALUES (:now, :now, 1, 1, 3)"
            ),
            {"now": clock.now()},
        )
    assert (look()["ledger_breaches"].level, look()["ledger_breaches"].count) == (Level.BROKEN, 3)
    assert look()["ledger_check_late"].level is Level.WELL
    with clock.frozen(clock.now() + timedelta(hours=27)):
        assert look()["ledger_check_late"].level is Level.ATTENTION


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.what)
def test_each_question_reads_an_index_and_never_the_whole_table(check: Check) -> None:
    with owner() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        plan = connection.scalar(
            text(f"EXPLAIN (FORMAT JSON) {check.query} LIMIT 10001"), {"now": clock.now()}
        )
    document = json.dumps(plan)
    if check.what == "accounts_to_review":
        return  # as many rows as customers; a scan of a million takes 0.2 s
    whole = re.findall('"Node Type": "Seq Scan".*?"Relation Name": "(.*?)"', document)
    assert set(whole) <= {"notice_endpoints"}, document  # a few rows: one for each platform
