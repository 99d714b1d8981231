"""Lines of the log that are true only once their transaction is committed.

Whoever writes a row that a person has to know of notes the line here; `db/session.py::transaction`
writes it after the commit. So there is one line for what happened, none for what was rolled back,
whichever process it happened in. It has the id of the request for which it was noted.
"""

import structlog
from sqlalchemy.orm import Session

from service import request_ids

log = structlog.get_logger()

_LINES = "db.after_commit"


def log_error(session: Session, event: str, **fields: object) -> None:
    """Have an error line written after the commit of `session`'s transaction."""
    _note(session, "error", event, fields)


def log_warning(session: Session, event: str, **fields: object) -> None:
    """Have a warning written after the commit of `session`'s transaction."""
    _note(session, "warning", event, fields)


def write_lines(session: Session) -> None:
    """Write the lines that were noted; called after the commit."""
    for level, event, fields in session.info.pop(_LINES, []):
        getattr(log, level)(event, **fields)


def _note(session: Session, level: str, event: str, fields: dict[str, object]) -> None:
    known = fields.pop("request_id", None) or request_ids.current()
    if known is not None:
        fields["request_id"] = known
    session.info.setdefault(_LINES, []).append((level, event, fields))
