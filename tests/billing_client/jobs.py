"""The table of a platform's jobs: how each is asked for, what holds then, and how it is refused.

`test_jobs.py` drives every kind of client through it against the real back office, `test_routes.py`
compares it with the routes of the API. A new method is a new line here: the file is long because it
has them all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import clock
from billing_client import (
    AccountExists,
    AccountUnknown,
    BillingError,
    ContactExists,
    ContactUnknown,
    DisputeResolved,
    DisputeUnknown,
    HoldFinished,
    HoldUnknown,
    InvalidFields,
    LeadNotCharged,
    LeadStillPending,
    LeadUnknown,
    NotEnoughCredit,
    NotRefundable,
    OrderUnknown,
    PaymentUnknown,
    ProductMismatch,
    RefundUnknown,
    Unauthorized,
)
from billing_client.notice_types import TYPES
from tests.billing_client.drivers import Driver
from tests.billing_client.world import RS_6000, Things, World

Ask = Callable[[Driver, Things], Any]


class NothingFound(BillingError):
    """Stands for an answer that is no refusal and holds nothing of the product clinic_leads."""


@dataclass(frozen=True)
class Refusal:
    """A way to be refused: another call, or the same one in another world."""

    error: type[BillingError]
    kind: str = ""
    """The last part of the problem's type; empty: the server said nothing of it."""
    ask: Ask | None = None
    """None: as the job itself asks."""
    given: Callable[[World], Things] | None = None
    """None: about things that exist nowhere."""


@dataclass(frozen=True)
class Job:
    """One job of a platform."""

    method: str
    ask: Ask
    given: Callable[[World], Things]
    holds: Callable[[World, Things, Any], object]
    """What is true after it, and once only: a bool, or asserts of its own."""
    refused: Refusal
    stranger: Refusal | None = None
    """How a key of another product is refused; None: as if the things existed nowhere."""
    case: str = ""

    def __str__(self) -> str:
        return f"{self.method}-{self.case}" if self.case else self.method

    @property
    def refused_to_strangers(self) -> Refusal:
        """How another tenant is refused."""
        return self.stranger or self.refused


def _account(world: World) -> Things:
    return world.things()


def _new_name(world: World) -> Things:
    things = world.things()
    things.account += "-new"
    return things


def _charged(world: World) -> Things:
    return world.charged(world.things())


def _with_contact(world: World) -> Things:
    things = world.things()
    things.contact_id = world.house.add_contact(things.account, "desk@clinic.example").contact_id
    return things


def _charged_and_placed(world: World) -> Things:
    return world.placed(_charged(world))


def _low_and_placed(world: World) -> Things:
    return world.placed(world.charged(world.things(credits_=600)))


def _parked(world: World) -> Things:
    return world.charged(world.things(credits_=10))


def _paid(world: World) -> Things:
    return world.paid(world.things(credits_=0))


def _credited(world: World) -> Things:
    return world.credited(world.things(credits_=0))


def _ordered(world: World) -> Things:
    things = world.things(credits_=0)
    things.order_id = str(world.house.place_order(things.account, "razorpay", plan=None,
                                                  package="credits_5000").order_id)  # fmt: skip
    return things


def _ordered_at_stripe(world: World) -> Things:
    things = world.things(credits_=0)
    order = world.house.place_order(
        things.account, "stripe", package="credits_5000", return_url="https://clinic.example/c"
    )
    things.order_id = str(order.order_id)
    world.sim.pay(things.order_id)
    return things


def _refunded(world: World) -> Things:
    things = _credited(world)
    refund = world.house.refund_payment(things.payment_id, reason="a test", amount_paise=100_000)
    things.refund_id = refund.refund_id
    return things


def _held(world: World) -> Things:
    things = world.things()
    things.hold_id = world.house.place_hold(things.account, 100).hold_id
    return things


def _voided(world: World) -> Things:
    things = _held(world)
    world.house.void_hold(things.hold_id)
    return things


def _disputed(world: World) -> Things:
    things = _charged(world)
    things.dispute_id = world.house.dispute_lead(
        things.lead_id, things.account, "spam", "a test"
    ).dispute_id
    return things


def _withdrawn(world: World) -> Things:
    things = _disputed(world)
    world.house.withdraw_dispute(things.dispute_id)
    return things


def _many_accounts(world: World) -> Things:
    if not world.has_many_accounts:
        for _ in range(25):
            world.things(credits_=0)
        world.has_many_accounts = True
    return world.things()


def _other_product(world: World) -> Things:
    things = world.things()
    things.more["product"] = "pharmapulse_one"
    return things


def _submitted(world: World) -> Things:
    things = world.things()
    world.house.submit_lead(things.lead_id, things.account, RS_6000)
    return things


def _charge_lead(client: Driver, things: Things) -> Any:
    return client.charge_lead(
        things.lead_id, things.account, RS_6000, occurred_at=clock.now(), idempotency_key=things.key
    )


def _open(method: str) -> Ask:
    def ask(client: Driver, things: Things) -> Any:
        product = things.more.get("product", "clinic_leads")
        return getattr(client, method)(
            things.account, "City Clinic", product, timezone="Asia/Kolkata", state_code="29"
        )

    return ask


def _open_as_stranger(method: str) -> Ask:
    return lambda client, things: getattr(client, method)(
        things.account, "City Clinic", "pharmapulse_one"
    )


def _order(gateway: str) -> Ask:
    return lambda client, things: client.place_order(
        things.account,
        gateway,
        package="credits_5000",
        return_url=None if gateway == "razorpay" else "https://clinic.example/credits",
    )


def _verify(client: Driver, things: Things) -> Any:
    signature = things.more.get("signature", "0" * 64)
    return client.verify_payment(things.order_id, things.payment_id, signature)


def _dispute(client: Driver, things: Things) -> Any:
    return client.dispute_lead(
        things.lead_id, things.account, "spam", "no such\nperson", evidence={"calls": [1, None]}
    )


def _is_charged(world: World, things: Things, *results: Any) -> object:
    world.drain()
    assert world.house.lead_status(things.lead_id).state == "charged"
    return world.ledger(things) == [("lead_charge", -180)]


def _is_order(world: World, things: Things, order: Any) -> object:
    assert (order.account, order.state, order.amount_paise) == (things.account, "open", 500_000)
    assert (order.credits, order.bonus_credits) == (5_000, 500)
    assert bool(order.checkout_url) == (order.gateway == "stripe")
    return world.orders(things) == 1


def _is_credited(world: World, things: Things, found: Any) -> object:
    assert (found.state, found.credits_added) == ("captured", 5_500)
    assert found.order_id == things.order_id
    return world.ledger(things) == [("top_up", 5_000), ("bonus", 500)]


def _is_refund(world: World, things: Things, refund: Any) -> object:
    assert (refund.amount_paise, refund.credits_taken) == (100_000, 1_100)
    assert refund.payment_id == things.payment_id
    return world.refunds(things) == [100_000]


def _is_account(world: World, things: Things, found: Any) -> object:
    assert (found.account, found.product) == (things.account, "clinic_leads")
    assert found.created_at.utcoffset() is not None
    return world.house.account(things.account) == found


def _is_spent(amount: int) -> Callable[[World, Things, Any], object]:
    def holds(world: World, things: Things, found: Any) -> object:
        assert (found.account, found.balance) == (things.account, 10_000 - amount)
        return world.ledger(things) == ([("usage", -amount)] if amount else [])

    return holds


def _is_hold(state: str, captured: int = 0) -> Callable[[World, Things, Any], object]:
    def holds(world: World, things: Things, found: Any) -> object:
        assert (found.account, found.state, found.amount) == (things.account, state, 100)
        assert found.captured == captured
        return world.count("holds", things) == 1 and _is_spent(captured)(world, things, found)

    return holds


def _is_dispute(state: str) -> Callable[[World, Things, Any], object]:
    def holds(world: World, things: Things, found: Any) -> object:
        assert (found.lead_id, found.account, found.state) == (
            things.lead_id,
            things.account,
            state,
        )
        return [one.dispute_id for one in world.house.list_disputes(things.account)] == [
            found.dispute_id
        ]

    return holds


def _are_all_accounts(world: World, things: Things, found: Any) -> object:
    listed = [one.account for one in found]
    assert things.account in listed
    assert len(listed) > 20  # more than a page
    return listed == sorted(set(listed)) and found[0] == world.house.account(listed[0])


def _is_catalog(_: World, _things: Things, found: Any) -> object:
    packages = {one.name: one for one in found.packages}
    five = packages["credits_5000"]
    assert (five.price_paise, five.credits, five.bonus_credits) == (500_000, 5_000, 500)
    assert {one.name for one in found.products} == {"clinic_leads", "pharmapulse_one"}
    assert {one.name for one in found.plans} == {"pharmapulse_one", "plan_renewal"}
    assert found.lead_pricing.tiers[1].credits == 180
    assert found.free_amounts[0].slabs[1].bonus_percent == 10
    return found.currency == "INR" and "spam" in found.disputes.types


def _today() -> date:
    return clock.now().astimezone(ZoneInfo("Asia/Kolkata")).date()


_NO_ACCOUNT = Refusal(AccountUnknown, "unknown-account")
_NO_SECRET = Refusal(Unauthorized)
"""Whoever has not the secret; `test_jobs.py` gives a wrong one to strangers."""

LEADS = (
    Job(
        "charge_lead", _charge_lead, _account, _is_charged,
        refused=_NO_SECRET,
    ),
    Job(
        "charge_leads",
        lambda client, things: client.charge_leads(
            [{"lead_id": things.lead_id, "account": things.account, "package_price_paise": RS_6000}]
        ),
        _account, _is_charged,
        refused=_NO_SECRET,
    ),
    Job(
        "submit_lead",
        lambda client, things: client.submit_lead(things.lead_id, things.account, RS_6000),
        _account, _is_charged,
        refused=_NO_ACCOUNT,
    ),
    Job(
        "lead_status",
        lambda client, things: client.lead_status(things.lead_id),
        _charged,
        lambda _, things, lead: (lead.lead_id, lead.account, lead.state, lead.credits,
                                 lead.package_price_paise, lead.conflicts, lead.reason)
        == (things.lead_id, things.account, "charged", 180, RS_6000, 0, None),
        refused=Refusal(LeadUnknown, "unknown-lead"),
    ),
    Job(
        "wait_for_lead",
        lambda client, things: client.wait_for_lead(things.lead_id, timeout_seconds=0.2),
        _charged,
        lambda _, things, lead: (lead.lead_id, lead.state) == (things.lead_id, "charged"),
        refused=Refusal(LeadStillPending, given=_submitted),
        stranger=Refusal(LeadStillPending),
    ),
    Job(
        "list_leads",
        lambda client, things: client.list_leads(
            things.account, state="charged", since=clock.now() - timedelta(days=1)
        ),
        _charged,
        lambda _, things, leads: [lead.lead_id for lead in leads] == [things.lead_id],
        refused=_NO_ACCOUNT,
    ),
)  # fmt: skip

ACCOUNTS = (
    Job(
        "ensure_account", _open("ensure_account"), _new_name, _is_account,
        refused=Refusal(ProductMismatch, given=_other_product),
        stranger=Refusal(
            AccountExists, "account-exists", _open_as_stranger("ensure_account"), _account
        ),
    ),
    Job(
        "ensure_account", _open("ensure_account"), _account, _is_account,
        refused=Refusal(ProductMismatch, given=_other_product),
        stranger=Refusal(InvalidFields, "invalid-fields", given=_account),
        case="found",
    ),
    Job(
        "create_account", _open("create_account"), _new_name, _is_account,
        refused=Refusal(AccountExists, "account-exists", given=_account),
        stranger=Refusal(
            AccountExists, "account-exists", _open_as_stranger("create_account"), _account
        ),
    ),
    Job(
        "account", lambda client, things: client.account(things.account), _account, _is_account,
        refused=_NO_ACCOUNT,
    ),
    Job(
        "balance",
        lambda client, things: client.balance(things.account),
        _held,
        lambda _, things, found: (found.account, found.balance, found.held, found.available)
        == (things.account, 10_000, 100, 9_900),
        refused=_NO_ACCOUNT,
    ),
    Job(
        "update_account",
        lambda client, things: client.update_account(
            things.account, name="Lake Clinic", low_balance=700, gstin=None
        ),
        _account,
        lambda world, things, found: (found.account, found.name, found.low_balance)
        == (things.account, "Lake Clinic", 700)
        and found == world.house.account(things.account),
        refused=Refusal(
            InvalidFields, "invalid-fields",
            lambda client, things: client.update_account(things.account, timezone="Mars/Olympus"),
            _account,
        ),
        stranger=_NO_ACCOUNT,
    ),
    Job(
        "list_accounts",
        lambda client, _: client.list_accounts(product="clinic_leads"),
        _many_accounts,
        _are_all_accounts,
        refused=Refusal(
            InvalidFields, "invalid-fields",
            lambda client, _: client.list_accounts(product="nothing"),
        ),
        stranger=Refusal(
            NothingFound, ask=lambda client, _: client.list_accounts(), given=_account
        ),
    ),
    Job(
        "statement",
        lambda client, things: client.statement(
            things.account, first_day=_today() - timedelta(days=1), last_day=_today()
        ),
        _charged,
        lambda _, things, found: (found.account, found.timezone, found.opening, found.closing)
        == (things.account, "Asia/Kolkata", 0, 10_000 - 180)
        and [(one.kind, one.rows, one.amount) for one in found.totals]
        == [("goodwill", 1, 10_000), ("lead_charge", 1, -180)],
        refused=_NO_ACCOUNT,
        case="days",
    ),
    Job(
        "statement",
        lambda client, things: client.statement(things.account, month="2026-01"),
        _account,
        lambda _, things, found: (found.account, found.totals, found.closing)
        == (things.account, (), 0),
        refused=_NO_ACCOUNT,
        case="month",
    ),
    Job(
        "history",
        lambda client, things: client.history(
            things.account, kind="lead_charge", lead_id=things.lead_id,
            until=clock.now() + timedelta(days=1),
        ),
        _charged,
        lambda _, things, found: [(row.amount, row.kind, row.lead_id) for row in found]
        == [(-180, "lead_charge", things.lead_id)],
        refused=_NO_ACCOUNT,
    ),
    Job(
        "entitlements",
        lambda client, things: client.entitlements(things.account),
        _account,
        lambda _, things, found: (found.account, found.service_renewal_status,
                                  found.allows("spend_credits"), found.allows("updates"))
        == (things.account, "none", True, False),
        refused=_NO_ACCOUNT,
    ),
    Job(
        "account_status",
        lambda client, things: client.account_status(things.account),
        _account,
        lambda _, things, found: (found.account, found.plan, found.available, found.alert_level)
        == (things.account, None, 10_000, "ok"),
        refused=_NO_ACCOUNT,
    ),
)  # fmt: skip

MONEY = (
    Job(
        "catalog",
        lambda client, _: client.catalog(),
        _account,
        _is_catalog,
        refused=Refusal(
            InvalidFields, "invalid-fields", lambda client, _: client.catalog(product="nothing")
        ),
        stranger=Refusal(NothingFound),
    ),
    *(
        Job(
            "place_order", _order(gateway), lambda world: world.things(credits_=0), _is_order,
            refused=Refusal(
                InvalidFields, "invalid-fields",
                lambda client, things: client.place_order(
                    things.account, "razorpay", package="credits_of_nobody"
                ),
                _account,
            ),
            stranger=_NO_ACCOUNT,
            case=gateway,
        )
        for gateway in ("razorpay", "stripe")
    ),
    Job(
        "order_status",
        lambda client, things: client.order_status(things.order_id),
        _credited,
        lambda _, things, order: (order.order_id, order.account, order.state, order.payment_id,
                                  order.package)
        == (things.order_id, things.account, "paid", things.payment_id, "credits_5000"),
        refused=Refusal(OrderUnknown, "unknown-order"),
    ),
    Job(
        "verify_payment", _verify, _paid, _is_credited,
        refused=Refusal(
            InvalidFields, "invalid-fields",
            lambda client, things: client.verify_payment(
                things.order_id, things.payment_id, "0" * 64
            ),
            _paid,
        ),
        stranger=Refusal(OrderUnknown, "unknown-order"),
        case="razorpay",
    ),
    Job(
        "verify_payment",
        lambda client, things: client.verify_payment(things.order_id),
        _ordered_at_stripe, _is_credited,
        refused=Refusal(OrderUnknown, "unknown-order"),
        case="stripe",
    ),
    Job(
        "payment_status",
        lambda client, things: client.payment_status(things.payment_id),
        _refunded,
        lambda _, things, found: (found.payment_id, found.account, found.order_id,
                                  [refund.refund_id for refund in found.refunds])
        == (things.payment_id, things.account, things.order_id, [things.refund_id]),
        refused=Refusal(PaymentUnknown, "unknown-payment"),
    ),
    Job(
        "list_payments",
        lambda client, things: client.list_payments(things.account, state="captured"),
        _credited,
        lambda _, things, found: [(one.payment_id, one.state, one.credits) for one in found]
        == [(things.payment_id, "captured", 5_000)],
        refused=_NO_ACCOUNT,
    ),
    Job(
        "refund_payment",
        lambda client, things: client.refund_payment(
            things.payment_id, reason="changed their mind", amount_paise=100_000
        ),
        _credited, _is_refund,
        refused=Refusal(
            NotRefundable, "not-refundable",
            lambda client, things: client.refund_payment(
                things.payment_id, reason="too much", amount_paise=500_001
            ),
            _credited,
        ),
        stranger=Refusal(PaymentUnknown, "unknown-payment"),
    ),
    Job(
        "refund_status",
        lambda client, things: client.refund_status(things.refund_id),
        _refunded,
        lambda world, things, refund: _is_refund(world, things, refund)
        and (refund.account, refund.reason) == (things.account, "a test"),
        refused=Refusal(RefundUnknown, "unknown-refund"),
    ),
)  # fmt: skip

DISPUTES = (
    Job(
        "dispute_lead", _dispute, _charged, _is_dispute("pending"),
        refused=Refusal(LeadNotCharged, "lead-not-charged", given=_parked),
        stranger=_NO_ACCOUNT,
    ),
    Job(
        "dispute_status",
        lambda client, things: client.dispute_status(things.dispute_id),
        _disputed, _is_dispute("pending"),
        refused=Refusal(DisputeUnknown, "unknown-dispute"),
    ),
    Job(
        "withdraw_dispute",
        lambda client, things: client.withdraw_dispute(things.dispute_id),
        _disputed, _is_dispute("withdrawn"),
        refused=Refusal(DisputeResolved, "dispute-resolved", given=_withdrawn),
        stranger=Refusal(DisputeUnknown, "unknown-dispute"),
    ),
    Job(
        "list_disputes",
        lambda client, things: client.list_disputes(things.account, state="withdrawn"),
        _withdrawn,
        lambda _, things, found: [(one.lead_id, one.state) for one in found]
        == [(things.lead_id, "withdrawn")],
        refused=_NO_ACCOUNT,
    ),
)  # fmt: skip

CREDIT = (
    Job(
        "place_hold",
        lambda client, things: client.place_hold(things.account, 100, description="a report"),
        _account, _is_hold("open"),
        refused=Refusal(
            NotEnoughCredit, "not-enough-credit",
            lambda client, things: client.place_hold(things.account, 10_001), _account,
        ),
        stranger=_NO_ACCOUNT,
    ),
    Job(
        "hold_status",
        lambda client, things: client.hold_status(things.hold_id),
        _held, _is_hold("open"),
        refused=Refusal(HoldUnknown, "unknown-hold"),
    ),
    Job(
        "capture_hold",
        lambda client, things: client.capture_hold(things.hold_id, amount=40),
        _held, _is_hold("captured", 40),
        refused=Refusal(HoldFinished, "hold-finished", given=_voided),
        stranger=Refusal(HoldUnknown, "unknown-hold"),
    ),
    Job(
        "void_hold",
        lambda client, things: client.void_hold(things.hold_id),
        _held, _is_hold("voided"),
        refused=Refusal(HoldFinished, "hold-finished", given=_voided),
        stranger=Refusal(HoldUnknown, "unknown-hold"),
    ),
    Job(
        "charge_credits",
        lambda client, things: client.charge_credits(things.account, 30, description="a report"),
        _account, _is_spent(30),
        refused=Refusal(
            NotEnoughCredit, "not-enough-credit",
            lambda client, things: client.charge_credits(things.account, 10_001), _account,
        ),
        stranger=_NO_ACCOUNT,
    ),
)  # fmt: skip

CONTACTS = (
    Job(
        "add_contact",
        lambda client, things: client.add_contact(
            things.account, "desk@clinic.example", topics=["balance.*"]
        ),
        _account,
        lambda world, things, found: [*world.house.list_contacts(things.account)] == [found]
        and (found.address, found.topics, found.confirmed)
        == ("desk@clinic.example", ("balance.*",), False),
        refused=Refusal(ContactExists, "contact-exists", given=_with_contact),
        stranger=_NO_ACCOUNT,
    ),
    Job(
        "list_contacts",
        lambda client, things: client.list_contacts(things.account),
        _with_contact,
        lambda _, things, found: [(one.contact_id, one.account, one.topics) for one in found]
        == [(things.contact_id, things.account, ("*",))],
        refused=_NO_ACCOUNT,
    ),
    Job(
        "remove_contact",
        lambda client, things: client.remove_contact(things.account, things.contact_id),
        _with_contact,
        lambda world, things, _: [*world.house.list_contacts(things.account)] == [],
        refused=Refusal(ContactUnknown, "unknown-contact", given=_account),
        stranger=_NO_ACCOUNT,
    ),
)  # fmt: skip

EVENTS = (
    Job(
        "list_events",
        lambda client, things: client.list_events(topics=["lead.charged"], account=things.account),
        _charged_and_placed,
        lambda _, things, found: [(one.topic, one.lead_id, one.credits) for one in found]
        == [("lead.charged", things.lead_id, 180)],
        refused=_NO_ACCOUNT,
    ),
    Job(
        "read_events",
        lambda client, things: client.read_events(
            topics=["balance.*", "lead.charged"], account=things.account, limit=1
        ),
        _low_and_placed,
        lambda _, things, page: (len(page.notices), page.more) == (1, True)
        and page.notices[0].account == things.account,
        refused=_NO_ACCOUNT,
    ),
    Job(
        "list_event_types",
        lambda client, _: client.list_event_types(topics="balance.*"),
        _account,
        lambda _world, _, found: {one.type for one in found}
        == {topic for topic in TYPES if topic.startswith("balance.")}
        and found[0].data_schema["type"] == "object",
        refused=Refusal(
            InvalidFields, "invalid-fields",
            lambda client, _: client.list_event_types(topics="balance.lwo"),
        ),
        stranger=Refusal(NothingFound),
    ),
)  # fmt: skip

JOBS: tuple[Job, ...] = (*LEADS, *ACCOUNTS, *MONEY, *DISPUTES, *CREDIT, *CONTACTS, *EVENTS)


def ids(jobs: Iterable[Job]) -> list[str]:
    """Names for pytest."""
    return [str(job) for job in jobs]
