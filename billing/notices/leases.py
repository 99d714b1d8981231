"""Leases of deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

LEASE = timedelta(seconds=60)
"""A lane that is not finished after this is taken from its process."""
LONGEST_CALL = timedelta(seconds=20)
"""More than one call may take, its answer written: no call of a lane begins this late."""
MOST_OF_LANE = 50
MOST_LANES = 2
"""Of an endpoint that works, over all processes; others have one."""


@dataclass(frozen=True, slots=True)
class Due:
    """One delivery to make."""

    delivery_id: int
    notice_id: int
    """`webhook-id` is `ntc_` and this."""
    body: bytes
    attempt_number: int


@dataclass(frozen=True, slots=True)
class Lane:
    """Deliveries to one endpoint, to be made one after the other, in this order, until one fails.

    Whoever leased it finishes each or gives it back; after a failure the rest is given back, and so
    is what was not begun by `start_until`.
    """

    endpoint_id: int
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    """Newest first; each of them signs. Empty: they cannot be decrypted."""
    lease_id: UUID
    leased_until: datetime
    start_until: datetime
    """No call begins later."""
    ordered: bool
    troubled: bool
    """The last call to this endpoint failed."""
    deliveries: Sequence[Due]


def lease(
    session: Session, *, now: datetime, most_lanes: int, most_troubled: int | None = None
) -> list[Lane]:
    """Lease due deliveries in up to `most_lanes` lanes; commit before calling.

    `most_troubled`: so many of the lanes at most are of endpoints whose last call failed; each may
    cost a thread the 15 s of a hanging call. Default: half of `most_lanes`, at least one.
    """
    raise NotImplementedError


def give_back(session: Session, lease_id: UUID, delivery_ids: Sequence[int]) -> None:
    """Give back deliveries of a lane that were not attempted: they are due as before."""
    raise NotImplementedError
