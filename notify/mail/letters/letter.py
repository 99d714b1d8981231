"""What one mail says, before it is text or HTML. The letters make it, the two layouts show it.

Every field is plain text: the layouts escape it. Only `Link.url` becomes a link.
"""

from dataclasses import dataclass
from enum import Enum


class Tone(Enum):
    """The colour of the bar above a mail."""

    PLAIN = "#2563eb"
    GOOD = "#15803d"
    WARNING = "#d97706"
    URGENT = "#dc2626"


@dataclass(frozen=True, slots=True)
class Link:
    """The one thing to press."""

    label: str
    url: str
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Many things of one kind, each with a line about it."""

    title: str
    items: tuple[tuple[str, str], ...]
    rest: str | None = None
    """What is not listed; None: all is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What happened, what it means, what to do: in this order."""

    subject: str
    heading: str
    tone: Tone = Tone.PLAIN
    paragraphs: tuple[str, ...]
    figures: tuple[tuple[str, str], ...] = ()
    """Label and value."""
    listing: Listing | None = None
    link: Link | None = None
    closing: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    """For operators: what to type."""
    stop: str = "Stop mails of this kind"
    """What the link to unsubscribe says, if the mail has one."""
