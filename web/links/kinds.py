"""What each kind of mail is called on the pages."""

from collections.abc import Mapping

from billing.notices.mail_facts import MailKind

EVERY_KIND = "all"

NAMES: Mapping[str, str] = {
    MailKind.BALANCE_LOW: "credit is low",
    MailKind.BALANCE_EXHAUSTED: "credit is used up",
    MailKind.BALANCE_IN_DEBT: "the account is in debt",
    MailKind.LEADS_PARKED: "leads wait for credit",
    MailKind.TOP_UP: "receipts for payments",
    MailKind.REFUND: "refunds",
    MailKind.DISPUTE_DECIDED: "decisions about disputed leads",
    MailKind.RENEWAL_REMINDER: "reminders to renew the plan",
    MailKind.PLAN_DEGRADED: "the plan has ended",
    MailKind.OPERATOR_CHARGEBACK: "chargebacks",
    MailKind.OPERATOR_ENDPOINT: "endpoints that fail",
    MailKind.OPERATOR_PAYMENT: "payments that need a person",
    EVERY_KIND: "everything but receipts",
}
"""After "mails about: "."""
