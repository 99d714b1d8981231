"""What `billing status`, the pages and the metrics all show: what waits, is dead, needs a person.

A finding is one question to the database with an answer: how many rows, and how old the oldest is.
`checks.py` is the list; whoever adds a state in which something waits adds its check there.
Nothing is written here.
"""

from billing.oversight.checks import CHECKS, look
from billing.oversight.levels import COUNTED, Finding, Level, worst

__all__ = [
    "CHECKS",
    "COUNTED",
    "Finding",
    "Level",
    "look",
    "worst",
]
