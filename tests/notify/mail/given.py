"""Worlds of the tests of mails: ordinary, minimal, huge and hostile facts of every kind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from billing.notices.mail_facts import (
    MOST_LISTED,
    BalanceFacts,
    ConfirmAddressFacts,
    DisputeDecidedFacts,
    Facts,
    MailFacts,
    MailKind,
    OperatorChargebackFacts,
    OperatorEndpointFacts,
    OperatorPaymentFacts,
    ParkedLead,
    ParkedLeadsFacts,
    RefundFacts,
    RenewalFacts,
    TestFacts,
    TopUpFacts,
)
from settings import Sender

SENDER = Sender("billing@market.example", "Clinic marketplace")
AT = datetime(2026, 11, 30, 15, 15, tzinfo=UTC)
"""20:45 in Kolkata."""
TOP_UP_URL = "https://market.example/credits"
_TOKEN = "eyJjIjo0MiwiayI6ImJhbGFuY2UifQ" * 4
UNSUBSCRIBE_URL = f"https://billing.example/notices/unsubscribe/{_TOKEN}"
NEVER_STOPPED = {MailKind.TOP_UP, MailKind.TEST}
HOSTILE = (
    "=?utf-8?q?=0D=0A?= <script>alert(1)</script>\"'&{{ 7*7 }}\r\nBcc: thief@evil.example\r\n\r\n"
    "\u202egnp.exe"
)
HUGE = "Śrī Dhanvantari Āyurveda & Wellness, मुंबई, "


def balance(number: int, *, parked: int = 0) -> BalanceFacts:
    return BalanceFacts(balance=number, low_balance=500, parked_leads=parked, top_up_url=TOP_UP_URL)


def parked_leads(count: int, *, lead_id: str = "lead_2026_11_{:04d}") -> ParkedLeadsFacts:
    listed = min(count, MOST_LISTED)
    return ParkedLeadsFacts(
        leads=tuple(
            ParkedLead(
                lead_id=lead_id.format(number),
                credits=320,
                parked_at=AT - timedelta(hours=30 - number),
            )
            for number in range(listed)
        ),
        count=count,
        credits=320 * count,
        balance=140,
        top_up_url=TOP_UP_URL,
    )


def renewal(days: int, **changes: object) -> RenewalFacts:
    due_on = date(2026, 11, 30) - timedelta(days=days)
    facts = RenewalFacts(
        plan="PharmaPulse One",
        status="past_due" if days > 0 else "due_soon",
        days=days,
        due_on=due_on,
        grace_ends_on=due_on + timedelta(days=15),
        price_paise=1_00_000,
        pay_url=f"https://billing.example/l/{'eyJhIjoicGhhcm1hOjciLCJwIjoicHBvIn0' * 3}",
        pay_url_expires_at=AT + timedelta(days=30),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


ORDINARY: Mapping[MailKind, Facts] = {
    MailKind.BALANCE_LOW: balance(420),
    MailKind.BALANCE_EXHAUSTED: balance(0, parked=7),
    MailKind.BALANCE_IN_DEBT: balance(-1_20_500),
    MailKind.LEADS_PARKED: parked_leads(3),
    MailKind.TOP_UP: TopUpFacts(
        payment_id="pay_NkqJ8v2wzXy4Lm",
        gateway="razorpay",
        amount_paise=1_00_000_00,
        currency="INR",
        credits=1_00_000,
        bonus_credits=25_000,
        plan=None,
        paid_until=None,
        paid_at=AT,
        balance=1_25_420,
    ),
    MailKind.REFUND: RefundFacts(
        refund_id=17,
        payment_id="pay_NkqJ8v2wzXy4Lm",
        gateway="razorpay",
        amount_paise=2_500_50,
        currency="INR",
        credits=2_750,
        at=AT,
    ),
    MailKind.DISPUTE_DECIDED: DisputeDecidedFacts(
        dispute_id=9,
        lead_id="lead_2026_11_0007",
        type="wrong_number",
        accepted=True,
        credits_refunded=320,
        decided_at=AT,
        balance=740,
    ),
    MailKind.RENEWAL_REMINDER: renewal(-7),
    MailKind.PLAN_DEGRADED: renewal(15, status="degraded"),
    MailKind.CONFIRM_ADDRESS: ConfirmAddressFacts(
        confirm_url=f"https://billing.example/l/{'eyJjIjo0Mn0' * 6}",
        expires_at=AT + timedelta(days=3),
    ),
    MailKind.TEST: TestFacts(asked_at=AT),
    MailKind.OPERATOR_CHARGEBACK: OperatorChargebackFacts(
        payment_id="pay_NkqJ8v2wzXy4Lm",
        gateway="razorpay",
        gateway_dispute_id="disp_Mz8Xq1",
        state="action_required",
        amount_paise=10_000_00,
        currency="INR",
        respond_by=AT + timedelta(days=6),
    ),
    MailKind.OPERATOR_ENDPOINT: OperatorEndpointFacts(
        endpoint_id=3,
        host="hooks.market.example",
        product="Clinic marketplace",
        state="failing",
        reason="status 500",
        since=AT - timedelta(hours=1),
        waiting=1_204,
    ),
    MailKind.OPERATOR_PAYMENT: OperatorPaymentFacts(
        payment_id="pay_leApsL2SL4Z0P3",
        gateway="razorpay",
        state="unmatched",
        reason="no_order",
        amount_paise=3_000_00,
        currency="INR",
    ),
}


def mail(kind: MailKind, facts: Facts | None = None, **changes: object) -> MailFacts:
    """An ordinary mail of the kind, with what the test changes."""
    for_operators = kind == MailKind.TEST or (
        kind.startswith("operator_") and kind != MailKind.OPERATOR_CHARGEBACK
    )
    of_a_plan = kind in {MailKind.RENEWAL_REMINDER, MailKind.PLAN_DEGRADED}
    account, name, product = (
        ("pharma:7", "Lotus Pharmacy", "PharmaPulse One")
        if of_a_plan
        else ("clinic:42", "Sunrise Clinic", "Clinic marketplace")
    )
    made = MailFacts(
        kind=kind,
        to="accounts@sunrise.example",
        message_id=f"<ntc_4711.{kind}@market.example>",
        written_at=AT,
        account=None if for_operators else account,
        account_name=None if for_operators else name,
        product=None if for_operators else product,
        zone="Asia/Kolkata",
        unsubscribe_url=None if kind in NEVER_STOPPED else UNSUBSCRIBE_URL,
        facts=facts or ORDINARY[kind],
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def ordinary(kind: MailKind) -> MailFacts:
    return mail(kind)


def minimal(kind: MailKind) -> MailFacts:
    """Everything is missing that can be, every number is zero or one."""
    return mail(
        kind,
        _with_each(ORDINARY[kind], text=lambda text: text[:4], number=lambda _: 1, optional=True),
        account_name=None,
        product=None,
        unsubscribe_url=None,
    )


def huge(kind: MailKind) -> MailFacts:
    """Names of 200 characters, ids without a blank, numbers as large as they get, 500 leads."""
    facts = ORDINARY[kind]
    if isinstance(facts, ParkedLeadsFacts):
        facts = parked_leads(500, lead_id="{:04d}" + "x" * 196)
    else:
        facts = _with_each(facts, text=lambda _: "W" * 200, number=_as_large)
    return mail(
        kind,
        facts,
        account_name=(HUGE * 5)[:200],
        account="clinic:" + "9" * 93,
        product=(HUGE * 5)[:200],
    )


def hostile(kind: MailKind) -> MailFacts:
    """Texts that would be more than text in HTML, in a header or on a screen."""
    facts = ORDINARY[kind]
    if isinstance(facts, ParkedLeadsFacts):
        facts = replace(facts, leads=tuple(replace(lead, lead_id=HOSTILE) for lead in facts.leads))
    return mail(
        kind,
        _with_each(facts, text=lambda _: HOSTILE),
        account=HOSTILE,
        account_name=f"{HOSTILE} شركة النور, Inc.",
        product=HOSTILE,
    )


WORLDS: Mapping[str, Callable[[MailKind], MailFacts]] = {
    "ordinary": ordinary,
    "minimal": minimal,
    "huge": huge,
    "hostile": hostile,
}


def _as_large(number: int) -> int:
    return 10**12 if number > 0 else -(10**12)


_OF_FIXED_VALUES = {"state", "status"}


def _with_each(
    facts: Facts,
    *,
    text: Callable[[str], str],
    number: Callable[[int], int] = lambda number: number,
    optional: bool = False,
) -> Facts:
    """The facts with every free text, every number, and what may be missing changed."""
    changes: dict[str, object] = {}
    for field, hint in type(facts).__annotations__.items():
        value, may_miss = getattr(facts, field), "None" in str(hint)
        if optional and may_miss:
            changes[field] = None
        elif type(value) is int and field != "days":
            changes[field] = number(value)
        elif isinstance(value, str) and field not in _OF_FIXED_VALUES and "url" not in field:
            changes[field] = text(value)
    return replace(facts, **changes)  # type: ignore[arg-type]


def changed(facts: Facts, **changes: object) -> Facts:
    """The facts with what the test changes."""
    return replace(facts, **changes)  # type: ignore[arg-type]
