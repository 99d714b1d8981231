"""The errors of leads."""

from errors import NotFound, PermanentError
from service.disclosure import fingerprint


class UnknownLead(NotFound):
    """No lead has this id."""

    def __init__(self, lead_id: str) -> None:
        todo = "`billing leads list` shows the newest"
        super().__init__(
            f"unknown lead {lead_id!r}: {todo}",
            logged=f"unknown lead {fingerprint(lead_id)}: {todo}",
        )
        self.lead_id = lead_id


class LeadNotParked(PermanentError):
    """Only a parked lead can be released or cancelled."""

    def __init__(self, lead_id: str, state: str) -> None:
        super().__init__(f"lead {lead_id!r} is {state}, not parked: nothing was changed")
        self.lead_id = lead_id
        self.state = state
