"""Lead billing: what a lead costs, charging it once, parking what cannot be paid."""

from billing.leads import parking, status
from billing.leads.charging import charge_leads, conflicts, find, newest
from billing.leads.errors import LeadNotParked, UnknownLead
from billing.leads.lead_rows import ended
from billing.leads.parking import Released
from billing.leads.request import EventTime, LeadRequest, LeadResult, LeadState

__all__ = [
    "EventTime",
    "LeadNotParked",
    "LeadRequest",
    "LeadResult",
    "LeadState",
    "Released",
    "UnknownLead",
    "charge_leads",
    "conflicts",
    "ended",
    "find",
    "newest",
    "parking",
    "status",
]
