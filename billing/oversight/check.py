"""One question of `checks.py`, and the patience that several of them share."""

from dataclasses import dataclass
from datetime import timedelta

from billing.oversight.levels import Patience

PERSON = Patience(attention=timedelta(0))
"""For what waits for a person: as soon as there is one."""
CALENDAR = Patience(attention=timedelta(minutes=15), broken=timedelta(hours=6))
"""For what a tick does every half a minute."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question, how its answer is judged, and what a person does about it."""

    what: str
    query: str
    patience: Patience
    look: str
