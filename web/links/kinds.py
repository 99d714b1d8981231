"""What each kind of mail is called on the pages."""

from collections.abc import Mapping

from billing.notices.mail_facts import EVERY_KIND, MailKind

NAMES: Mapping[str, str] = {
    MailKind.BALANCE_LOW: "low credit",
    MailKind.BALANCE_EXHAUSTED: "credit that is used up",
    MailKind.BALANCE_IN_DEBT: "debt",
    MailKind.LEADS_PARKED: "leads that wait for credit",
    MailKind.TOP_UP: "receipts for payments",
    MailKind.REFUND: "refunds",
    MailKind.DISPUTE_DECIDED: "decisions about disputed leads",
    MailKind.RENEWAL_REMINDER: "reminders to renew the plan",
    MailKind.PLAN_DEGRADED: "the end of the plan",
    MailKind.OPERATOR_CHARGEBACK: "chargebacks",
    MailKind.OPERATOR_ENDPOINT: "endpoints that fail",
    MailKind.OPERATOR_PAYMENT: "payments that need a person",
    EVERY_KIND: "everything but receipts",
}
"""After "mails about: "."""
