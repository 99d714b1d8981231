"""Leads: what a lead costs, charging it once, parking what cannot be paid, reporting on it."""

from billing.leads import parking, status
from billing.leads.charging import charge_leads
from billing.leads.errors import LeadNotParked, UnknownLead
from billing.leads.lead_statements import end_lead
from billing.leads.parking import ReleasedLead
from billing.leads.queries import (
    RecordedState,
    find_lead,
    leads_of_account,
    newest_conflicts,
    newest_leads,
)
from billing.leads.request import EventTime, LeadRequest, LeadResult, LeadState

__all__ = [
    "EventTime",
    "LeadNotParked",
    "LeadRequest",
    "LeadResult",
    "LeadState",
    "RecordedState",
    "ReleasedLead",
    "UnknownLead",
    "charge_leads",
    "end_lead",
    "find_lead",
    "leads_of_account",
    "newest_conflicts",
    "newest_leads",
    "parking",
    "status",
]
