"""What a dispute may hold: texts with line breaks, and evidence as bounded plain JSON.

Called by `billing/disputes/lifecycle.py`. What a clinic wrote is kept and compared, and never
repeated.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from billing import catalog
from billing.disputes.errors import InvalidDispute
from billing.text import (
    DESCRIPTION_MAX_LENGTH,
    ID_MAX_LENGTH,
    KEY_MAX_LENGTH,
    REF_MAX_LENGTH,
    problem_with,
)

MAX_EVIDENCE_BYTES = 16 * 1024

# No hash chain joins these texts by line feeds: people may write them on several lines.
_LINE_BREAKS = re.compile("[\t\n\r]")
_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Content:
    """What a request asks for, checked; `evidence` as JSON text, None where there is none."""

    lead_id: str
    dispute_type: str
    description: str
    evidence: str | None

    @property
    def compared(self) -> dict[str, object]:
        """What PostgreSQL compares with an earlier request's."""
        return {"description": self.description, "evidence": self.evidence}

    @property
    def columns(self) -> dict[str, object]:
        """The columns of the dispute's row that come from it."""
        return {"type": self.dispute_type, **self.compared}


def check(
    *,
    lead_id: str,
    account: str,
    dispute_type: str,
    description: str,
    evidence: Any,
    request_key: str,
    actor: str,
) -> Content:
    """Return the content of a request; raises `InvalidDispute` naming the field."""
    for field, value, max_length in (
        ("lead_id", lead_id, ID_MAX_LENGTH),
        ("account", account, REF_MAX_LENGTH),
        ("request_key", request_key, KEY_MAX_LENGTH),
        ("actor", actor, ID_MAX_LENGTH),
    ):
        _refuse(field, problem_with(value, max_length=max_length))
    types = catalog.get().disputes.types
    if dispute_type not in types:
        raise InvalidDispute("dispute_type", f"must be one of {', '.join(types)}")
    _refuse("description", _problem_with_prose(description))
    return Content(lead_id, dispute_type, description, _evidence(evidence))


def check_resolution(*, notes: str | None, actor: str) -> None:
    """Raise `InvalidDispute` for notes or an actor that cannot be kept; None: no notes."""
    _refuse("actor", problem_with(actor, max_length=ID_MAX_LENGTH))
    if notes is not None:
        _refuse("notes", _problem_with_prose(notes))


def _problem_with_prose(value: object) -> str | None:
    plain = _LINE_BREAKS.sub(" ", value) if isinstance(value, str) else value
    return problem_with(plain, max_length=DESCRIPTION_MAX_LENGTH)


def _refuse(field: str, problem: str | None) -> None:
    if problem is not None:
        raise InvalidDispute(field, problem)


def _evidence(value: Any) -> str | None:
    if value is None:
        return None
    try:
        told = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(told.encode())
    except (TypeError, ValueError, RecursionError):
        # No NaN, no lone surrogate, nothing nested beyond reading: PostgreSQL could not keep it.
        raise InvalidDispute("evidence", "must be plain JSON") from None
    if size > MAX_EVIDENCE_BYTES:
        raise InvalidDispute("evidence", f"must be at most {MAX_EVIDENCE_BYTES} bytes as JSON")
    if _NUL_IN_JSON.search(told):
        raise InvalidDispute("evidence", "must not hold the character U+0000")
    return told
