"""The rules for times from outside: which are accepted, and what a time that lies ahead counts as.

Every time that a sender, an operator or a gateway gives passes here before a rule sees it: the
fields of the API and of lead events, the options of the command, gateways' facts, the ledger's
check of its postings. An accepted time is in UTC, so that what the rules compute and PostgreSQL
stores is the same: Python knows UTC offsets up to 23:59 with fractions of a second, PostgreSQL
refuses those from 16:00 on and every fraction.
"""

from datetime import UTC, datetime, timedelta

FIRST_YEAR, LAST_YEAR = 1970, 9000
"""What the ledger accepts, in UTC; beyond it a change of zone could leave the calendar."""


def problem_with(
    value: object, *, first_year: int = FIRST_YEAR, last_year: int = LAST_YEAR
) -> str | None:
    """Return what is wrong with `value` as a time of the record, or None if nothing is."""
    if not isinstance(value, datetime):
        return f"must be a time, not {type(value).__name__}"
    if value.utcoffset() is None:
        return "must be a time with a zone"
    # A year of margin first: a change of zone at the calendar's end is an error in Python.
    near = FIRST_YEAR - 1 <= value.year <= LAST_YEAR + 1
    if not near or not first_year <= value.astimezone(UTC).year <= last_year:
        return f"must be in the years {first_year} to {last_year}"
    return None


def in_utc(
    value: datetime, *, first_year: int = FIRST_YEAR, last_year: int = LAST_YEAR
) -> datetime:
    """Return an aware time in UTC; raises `ValueError`, which says what is wrong."""
    if problem := problem_with(value, first_year=first_year, last_year=last_year):
        raise ValueError(problem)
    return value.astimezone(UTC)


def not_ahead(reported: datetime, *, known_at: datetime) -> datetime:
    """Return the time that a report of something past counts as: no later than `known_at`.

    What is reported has happened. If its time lies after the moment at which we came to know of it,
    the sender's clock is ahead, by a second or by a year, and `known_at` is the best that is known.
    A time ahead would leave the forecast too low until it comes, and begin a paid year too late.
    """
    return min(reported, known_at)


SKEW = timedelta(minutes=5)
"""How far a sender's clock may be ahead without anybody having to look at it; signatures allow as
much."""


def is_far_ahead(reported: datetime, *, known_at: datetime) -> bool:
    """Tell whether a report's time is so far ahead that its sender's clock should be set."""
    return reported - known_at > SKEW
