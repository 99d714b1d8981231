"""The tables.

The rules about what may be written are in `billing/`; those that the database itself enforces
(append-only, unique keys, ranges) are here and in the migrations.

Times are `timestamptz`, written by the application's clock in UTC. Amounts of credit are whole
numbers; money is in paise. Fill factors leave room for in-place updates of hot rows.
"""

from db.models.access import ApiKey, ApiRequest
from db.models.accounts import Account
from db.models.audit import AuditEntry
from db.models.base import Base
from db.models.credit import Hold, HoldEvent
from db.models.disputes import LeadDispute, QualityScore
from db.models.inbox import InboundEvent
from db.models.leads import LeadCharge, LeadConflict
from db.models.ledger import (
    CreditDebt,
    CreditLot,
    CreditTransaction,
    LotMovement,
    TransactionKind,
)
from db.models.mails import NoticeContact, NoticeMail
from db.models.notices import (
    NoticeAttempt,
    NoticeDelivery,
    NoticeEndpoint,
    NoticeEndpointSecret,
    NoticeLane,
    NoticePosition,
    NoticeSequence,
)
from db.models.outbox import OutboxEvent
from db.models.payments import GatewaySign, Order, Payment
from db.models.plans import AccountPlan, PlanTerm
from db.models.privacy import RetentionLeftover, RetentionProgress
from db.models.returns import Chargeback, Clawback, Refund
from db.models.verification import LedgerCheck

__all__ = [
    "Account",
    "AccountPlan",
    "ApiKey",
    "ApiRequest",
    "AuditEntry",
    "Base",
    "Chargeback",
    "Clawback",
    "CreditDebt",
    "CreditLot",
    "CreditTransaction",
    "GatewaySign",
    "Hold",
    "HoldEvent",
    "InboundEvent",
    "LeadCharge",
    "LeadConflict",
    "LeadDispute",
    "LedgerCheck",
    "LotMovement",
    "NoticeAttempt",
    "NoticeDelivery",
    "NoticeEndpoint",
    "NoticeEndpointSecret",
    "NoticeLane",
    "NoticePosition",
    "NoticeSequence",
    "NoticeContact",
    "NoticeMail",
    "Order",
    "OutboxEvent",
    "Payment",
    "PlanTerm",
    "QualityScore",
    "Refund",
    "RetentionLeftover",
    "RetentionProgress",
    "TransactionKind",
]
