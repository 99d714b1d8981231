"""The tables.

Rules about what may be written stand in `billing/`; the ones that the database itself must hold
(append-only, unique keys, ranges) stand here and in the migrations.

Times are `timestamptz`, written by the application's clock in UTC. Amounts of credit are whole
numbers; money is in paise. Fill factors leave room for the in-place updates of hot rows.
"""

from db.models.api import ApiKey, ApiRequest
from db.models.base import Base
from db.models.holds import Hold, HoldEvent
from db.models.inbox import InboundEvent
from db.models.leads import LeadCharge, LeadConflict, LeadDispute, QualityScore
from db.models.ledger import (
    Account,
    CreditDebt,
    CreditLot,
    CreditTransaction,
    LotMovement,
    TransactionKind,
)
from db.models.payments import GatewaySign, Order, Payment
from db.models.plans import AccountPlan, PlanTerm
from db.models.records import AuditEntry, LedgerCheck, OutboxEvent
from db.models.returns import Chargeback, CreditClaim, Refund

__all__ = [
    "Account",
    "AccountPlan",
    "ApiKey",
    "ApiRequest",
    "AuditEntry",
    "Base",
    "Chargeback",
    "CreditClaim",
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
    "Order",
    "OutboxEvent",
    "Payment",
    "PlanTerm",
    "QualityScore",
    "Refund",
    "TransactionKind",
]
