"""What `billing status`, the pages and the metrics all show: what waits, is dead, needs a person.

A finding is one question to the database with an answer: how many rows, and how old the oldest is.
`checks.py` is the list; whoever adds a state in which something waits adds its check there. What a
request wrote is read by `request_rows.py`. Nothing is written here.
"""

from billing.oversight.checks import CHECKS, look
from billing.oversight.levels import COUNTED, Finding, Level, worst
from billing.oversight.request_rows import RequestRow, rows_of_request

__all__ = [
    "CHECKS",
    "COUNTED",
    "Finding",
    "Level",
    "RequestRow",
    "look",
    "rows_of_request",
    "worst",
]
