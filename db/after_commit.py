"""What happens only once a transaction is committed: lines of the log, and the nudge of notices.

Whoever writes a row that a person has to know of notes the line here; `db/session.py::transaction`
writes it after the commit. So there is one line for what happened, none for what was rolled back,
whichever process it happened in. It has the id of the request for which it was noted.

`db/outbox.py` notes that notices were written. A process that can reach the broker registers what
is to be called then; one that does not leaves them to the sweep.
"""

from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session

from service import request_ids

log = structlog.get_logger()

_LINES = "db.after_commit"
_NOTICES = "db.after_commit.notices"

_on_notices: Callable[[], object] | None = None


def call_on_notices(act: Callable[[], object] | None) -> None:
    """Have `act` called in this process after each commit that wrote notices; None: nothing.

    It must return at once and raise nothing: what was asked for is done already.
    """
    global _on_notices  # noqa: PLW0603 - one way to the broker a process
    _on_notices = act


def note_notices(session: Session) -> None:
    """Note that the transaction of `session` writes notices."""
    session.info[_NOTICES] = True


def log_error(session: Session, event: str, **fields: object) -> None:
    """Have an error line written after the commit of `session`'s transaction."""
    _note(session, "error", event, fields)


def log_warning(session: Session, event: str, **fields: object) -> None:
    """Have a warning written after the commit of `session`'s transaction."""
    _note(session, "warning", event, fields)


def log_info(session: Session, event: str, **fields: object) -> None:
    """Have a line of information written after the commit of `session`'s transaction."""
    _note(session, "info", event, fields)


def run(session: Session) -> None:
    """Write the lines that were noted, and nudge if there are notices; called after the commit."""
    for level, event, fields in session.info.pop(_LINES, []):
        getattr(log, level)(event, **fields)
    if session.info.pop(_NOTICES, False) and _on_notices is not None:
        _on_notices()


def _note(session: Session, level: str, event: str, fields: dict[str, object]) -> None:
    known = fields.pop("request_id", None) or request_ids.current()
    if known is not None:
        fields["request_id"] = known
    session.info.setdefault(_LINES, []).append((level, event, fields))
