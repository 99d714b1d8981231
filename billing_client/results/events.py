"""What can happen: the types of events. The events themselves are `notice_types.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of events, as the server has it."""

    type: str
    """The topic, such as `balance.low`."""
    description: str
    high_volume: bool
    """Only who names it gets it."""
    data_schema: Mapping[str, Any]
    """JSON Schema (2020-12) of `Notice.data`."""
    example: Mapping[str, Any]
    """A `Notice.data`."""
