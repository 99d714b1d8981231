"""The errors of leads."""

from errors import NotFound, PermanentError


class UnknownLead(NotFound):
    """No lead has this id."""

    def __init__(self, lead_id: str) -> None:
        super().__init__(f"unknown lead {lead_id!r}: `billing leads list` shows the newest")
        self.lead_id = lead_id


class LeadNotParked(PermanentError):
    """Only a parked lead can be released or cancelled."""

    def __init__(self, lead_id: str, state: str) -> None:
        super().__init__(f"lead {lead_id!r} is {state}, not parked: nothing was changed")
        self.lead_id = lead_id
        self.state = state
