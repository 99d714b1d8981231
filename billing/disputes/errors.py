"""The errors of lead disputes. No message repeats what a clinic wrote."""

from datetime import datetime

from errors import InvalidField, NotFound, PermanentError


class InvalidDispute(InvalidField):
    """A field of a dispute, or of its resolution, is not valid."""


class UnknownDispute(NotFound):
    """No dispute has this id."""

    def __init__(self, dispute_id: int) -> None:
        super().__init__(f"there is no dispute {dispute_id}: see `billing disputes list`")
        self.dispute_id = dispute_id


class LeadNotCharged(PermanentError):
    """The lead took no credit, or all of it was given back."""

    def __init__(self, lead_id: str, state: str) -> None:
        super().__init__(f"lead {lead_id!r} is {state}: only a charged lead can be disputed")
        self.lead_id = lead_id
        self.state = state


class DisputeWindowOver(PermanentError):
    """The lead was charged too long ago."""

    def __init__(self, lead_id: str, ended_at: datetime) -> None:
        super().__init__(f"lead {lead_id!r} could be disputed until {ended_at.isoformat()}")
        self.lead_id = lead_id
        self.ended_at = ended_at


class DisputeOpen(PermanentError):
    """The lead has a pending dispute."""

    def __init__(self, lead_id: str, dispute_id: int) -> None:
        super().__init__(f"lead {lead_id!r} is already disputed: dispute {dispute_id} is pending")
        self.lead_id = lead_id
        self.dispute_id = dispute_id


class DisputedBefore(PermanentError):
    """A dispute of the lead was already decided; the lead is not disputed again."""

    def __init__(self, lead_id: str, dispute_id: int, state: str) -> None:
        super().__init__(f"lead {lead_id!r} was disputed before: dispute {dispute_id} is {state}")
        self.lead_id = lead_id
        self.dispute_id = dispute_id
        self.state = state


class DisputeResolved(PermanentError):
    """The dispute is already resolved; nothing was changed."""

    def __init__(self, dispute_id: int, state: str, resolved_by: str) -> None:
        super().__init__(
            f"dispute {dispute_id} is already {state}, by {resolved_by}: nothing was changed"
        )
        self.dispute_id = dispute_id
        self.state = state
        self.resolved_by = resolved_by


class NothingToRefund(PermanentError):
    """Nothing is left of the lead's charge that could be given back."""

    def __init__(self, dispute_id: int, lead_id: str) -> None:
        super().__init__(
            f"cannot refund lead {lead_id!r}: nothing is left of its charge;"
            f" reject or withdraw dispute {dispute_id}"
        )
        self.dispute_id = dispute_id
        self.lead_id = lead_id
