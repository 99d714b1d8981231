"""The catalogue of notices says what the rules really write: no topic without a row of its own."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

import clock
import settings
from billing import catalog, topics
from billing.disputes import quality
from billing.leads import parking
from billing.notices import Answer, testing
from billing.notices.mail_rules import mailed_topics
from billing.payments import Seen, attachment, gateway_heartbeat
from billing.plans import manual_years
from billing.returns import refunds
from billing.topics import CATALOGUE, PLATFORM_TOPICS, Audience, Topic, UnknownTopic
from db.session import transaction
from tests.billing.disputes import given as disputing
from tests.billing.given import give, open_account, post_all, rows, take
from tests.billing.leads.given import CHEAP, lead, park, release_due
from tests.billing.leads.given import charge as charge_leads
from tests.billing.notices import given as sending
from tests.billing.payments.given import news, open_order, take_in
from tests.billing.plans import given as planning
from tests.billing.returns import given as returning

WORDS = "Mrs Rao called, +91 98200 12345"
"""What somebody wrote: it must leave with no notice."""
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

STAYS_HERE = {
    Topic.ACCOUNT_REVIEW: {"year", "kind", "leads", "disputes"},
    Topic.CHARGEBACK_OPEN: {"respond_by"},
    Topic.CHARGEBACK_WON: {"respond_by"},
    Topic.CHARGEBACK_LOST: {"respond_by"},
    Topic.CHARGEBACK_CLOSED: {"respond_by"},
}
"""What rows hold beyond the catalogue, for the mails of operators."""


# The worlds in which each topic happens, by the rules of its area.


def balances() -> None:
    open_account("clinic:1", credits_=600)
    post_all(take(200, key="t-1", account="clinic:1"))
    post_all(take(400, key="t-2", account="clinic:1"))
    post_all(take(1, key="t-3", account="clinic:1", passes_overdraft_limit=True))
    post_all(give(5_000, key="g-1", account="clinic:1"))


def leads() -> None:
    open_account("clinic:2", credits_=200)
    charge_leads(lead("charged", account="clinic:2"))
    park(("released", CHEAP), ("cancelled", CHEAP), account="clinic:2")
    with transaction() as session:
        parking.cancel(session, "cancelled", reason=WORDS)
    post_all(give(1_000, key="g-2", account="clinic:2"))
    assert release_due() == ["released"]
    charge_leads(lead("charged", account="clinic:2", price=1), lead("no", account="clinic:none"))


def disputes() -> None:
    open_account(credits_=10_000)
    ids = [f"bad-{n}" for n in range(20)]
    disputing.charge("disputed", *ids)
    disputing.approve(disputing.dispute("disputed", description=WORDS), notes=WORDS)
    disputing.dispute_all(ids)
    with transaction() as session:
        quality.rescore_all(session)
        for account_id in quality.accounts_to_flag(session):
            quality.update_flag(session, account_id)


def payments() -> None:
    open_account("clinic:3")
    open_order(account="clinic:3")
    take_in(news(Seen.FAILED, "pay_failed", error_reason=WORDS))
    take_in(news())
    take_in(news(payment_id="pay_unknown", order_id=None))
    open_order("order_2", "op-2", account="clinic:3")
    take_in(news(payment_id="pay_odd", order_id="order_2", amount_paise=400_000))
    returning.report(returning.refund_fact(amount=100_000, payment_id="pay_odd"))
    with transaction() as session:
        attachment.attach(session, "pay_odd", account="clinic:3", reason=WORDS, actor="ops")


def returns() -> None:
    """Of the payments of `payments`."""
    refund = returning.ask_refund(100_000, reason=WORDS)
    with transaction() as session:
        refunds.record_no_answer(session, refund, TimeoutError())
    returning.report(returning.refund_fact("submitted", amount=100_000, receipt=returning.ours()))
    returning.report(returning.refund_fact("processed", amount=100_000, receipt=returning.ours()))
    returning.ask_refund(100, key="r2", reason=WORDS)
    returning.refused("r2")
    # Of money whose account nobody knows
    returning.report(returning.refund_fact("processed", payment_id="pay_unknown", refund_id="rf_u"))
    returning.report_dispute(returning.dispute_fact("open", "disp_u", payment_id="pay_unknown"))
    for end in ("won", "lost", "closed"):
        for seen in ("open", "under_review", "action_required", end):
            returning.report_dispute(
                returning.dispute_fact(seen, f"disp_{end}", amount=1_000, respond_by=NOON)
            )


def plans() -> None:
    planning.open_pharmacy()
    planning.buy(planning.PLAN)
    for days in (340, 30, 20):
        clock.advance(timedelta(days=days))
        planning.tick()
    planning.buy(planning.RENEWAL, 2)
    with transaction() as session:
        asked = manual_years.ManualYear(planning.PHARMACY, WORDS, "ops", WORDS, clock.now())
        manual_years.renew(session, asked)
    returning.report(
        returning.refund_fact(
            amount=planning.PRICES[planning.RENEWAL],
            refund_id="rfnd_year",
            payment_id=f"pay_order_{planning.PHARMACY}_2",
        )
    )


def gateways() -> None:
    open_order("order_3", "op-3", account="clinic:3")
    clock.advance(timedelta(hours=3))
    with transaction() as session:
        gateway_heartbeat.report_silent(session)
    with transaction() as session:
        gateway_heartbeat.record_event(session, "razorpay")


def endpoints() -> None:
    broken, gone = sending.endpoint(), sending.endpoint("https://other.example/hooks")
    open_account("clinic:4")
    park(("late", CHEAP), account="clinic:4")
    sending.fan_out()
    for lane in sending.lease():
        refusal = sending.BROKEN if lane.endpoint_id == broken else Answer(410, "answered 410")
        sending.call(lane, refusal)
    with transaction() as session:
        testing.lease_test(session, gone, now=clock.now())
    clock.advance(timedelta(hours=1))
    sending.review()


@pytest.fixture
def web_secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    sending.set_web_secrets(monkeypatch, sending.WEB_SECRET)
    yield
    monkeypatch.undo()
    settings.get.cache_clear()


@pytest.mark.usefixtures("database", "web_secrets")
def test_every_topic_is_written_as_its_schema_says() -> None:
    # Given what the rules of every area write
    with clock.frozen(NOON):
        for world in (balances, leads, disputes, payments, returns, plans, gateways, endpoints):
            world()
    written: dict[Topic, list[tuple[str | None, dict[str, Any]]]] = {}
    for topic, account, payload in rows(
        "SELECT topic, a.ref, payload FROM outbox_events e"
        " LEFT JOIN accounts a ON a.id = e.account_id"
    ):
        written.setdefault(Topic(str(topic)), []).append((account, payload))  # type: ignore[arg-type]
    # Then each topic has a row
    assert written.keys() == set(Topic)
    for topic, payloads in written.items():
        entry = CATALOGUE[topic]
        for account, payload in payloads:
            # And each row has all that the catalogue says, and nothing more
            sequence = None if account is None else 1
            data = topics.data_of(topic, payload, account=account, sequence=sequence)
            judge(data, entry.schema)
            assert set(entry.fields) <= {"account", "sequence", *payload}, topic
            left = payload.keys() - set(entry.fields)
            assert left <= STAYS_HERE.get(topic, set()), (topic, left)
            # And nobody's words
            assert WORDS not in json.dumps(payload), topic


def judge(data: object, schema: Any) -> None:
    """Raise unless the schema allows the data, times and days included."""
    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(data)


@pytest.mark.parametrize("topic", Topic)
def test_an_example_is_what_its_schema_says_and_may_gain_fields(topic: Topic) -> None:
    entry = CATALOGUE[topic]
    jsonschema.Draft202012Validator.check_schema(entry.schema)
    judge(entry.example, entry.schema)
    judge({**entry.example, "added_later": 1}, entry.schema)
    for name in entry.fields:
        with pytest.raises(jsonschema.ValidationError):
            judge({n: v for n, v in entry.example.items() if n != name}, entry.schema)


def test_what_is_for_operators_is_not_for_platforms() -> None:
    for topic in ("gateway.silent", "account.review", "payment.unmatched", "endpoint.off"):
        assert CATALOGUE[Topic(topic)].audiences == {Audience.OPERATOR}
        with pytest.raises(UnknownTopic, match=f"^{topic} cannot be chosen here: there are bal"):
            topics.check_patterns([topic], PLATFORM_TOPICS)


def test_a_name_is_one_that_standard_webhooks_advises() -> None:
    assert all(re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", topic) for topic in Topic)


@pytest.mark.parametrize(
    ("patterns", "topic", "expected"),
    [
        (["balance.low"], "balance.low", True),
        (["balance.low"], "balance.exhausted", False),
        (["balance.*"], "balance.exhausted", True),
        (["lead.*"], "lead.parked", True),
        (["*"], "refund.failed", True),
        ([], "refund.failed", False),
        # High volume: only by its name
        (["*"], "lead.charged", False),
        (["lead.*"], "lead.charged", False),
        (["*", "lead.charged"], "lead.charged", True),
    ],
)
def test_patterns_select_topics(patterns: list[str], topic: str, *, expected: bool) -> None:
    assert topics.selects(patterns, topic) is expected


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("balance.lwo", "no topic is called 'balance.lwo': did you mean balance.low?"),
        ("lead", "no topic is called 'lead': did you mean lead.*?"),
        ("a\0b", "no topic is called 'a\\x00b': there are balance.*, lead.*, "),
        ("", "no topic is called '': there are balance.*, "),
        ("*.low", "no topic is called '*.low': "),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused_with_the_nearest(pattern: str, says: str) -> None:
    with pytest.raises(UnknownTopic) as refused:
        topics.check_patterns(["*", pattern])
    assert str(refused.value).startswith(says)


def test_what_a_topic_does_not_declare_stays_here() -> None:
    payload = {"lead_id": "L-1", "account": "clinic:42", "credits": 1, "note": WORDS}
    data = topics.data_of(Topic.LEAD_PARKED, payload, account="clinic:42", sequence=3)
    assert list(data.items()) == [
        ("account", "clinic:42"), ("sequence", 3), ("lead_id", "L-1"), ("credits", 1),
    ]  # fmt: skip


def test_the_audiences_are_those_who_are_mailed() -> None:
    of = {who: {t for t, entry in CATALOGUE.items() if who in entry.audiences} for who in Audience}
    assert mailed_topics(of_operators=False).keys() == of[Audience.CUSTOMER]
    assert mailed_topics(of_operators=True).keys() <= of[Audience.OPERATOR]


def test_a_lead_of_nobody_is_of_the_one_product_for_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = catalog.get()
    assert topics.product_without_account(Topic.LEAD_REFUSED) == "clinic_leads"
    assert topics.product_without_account(Topic.GATEWAY_SILENT) is None
    # Given two products that say what becomes of a lead without credit
    two = dict.fromkeys(ours.products, ours.products["clinic_leads"])
    changed = ours.model_copy(update={"products": two})
    monkeypatch.setattr(catalog, "get", lambda: changed)
    # Then nobody can say whose it is
    assert topics.product_without_account(Topic.LEAD_REFUSED) is None
