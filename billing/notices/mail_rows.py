"""The rows of mails that become due: one of a contact, kind and occasion, whoever writes it twice.

Written by `mails.py` in the transaction of the fan-out, and by `questions.py` for the mail that
asks to confirm an address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.notices import mail_switch
from billing.notices.mail_facts import MailKind
from db.bulk import int_array, text_array, time_array
from service import request_ids

Place = tuple[int, str, str]
"""Contact, kind and occasion: what no second mail may have."""


@dataclass(frozen=True, slots=True)
class NewMail:
    """A mail that is due from a moment on."""

    contact_id: int
    kind: MailKind
    once_for: str
    """Another one of the contact, kind and occasion is not written."""
    due_at: datetime
    notice_id: int | None = None

    @property
    def place(self) -> Place:
        """What no second mail may have."""
        return self.contact_id, self.kind.value, self.once_for


_INSERT = text("""
INSERT INTO notice_mails (contact_id, kind, once_for, notice_id, next_attempt_at, finished_at,
                          state, reason, created_at, request_id)
SELECT contact_id, kind, once_for, notice_id,
       CASE WHEN CAST(:off AS text) IS NULL THEN due_at END,
       CASE WHEN CAST(:off AS text) IS NOT NULL THEN CAST(:now AS timestamptz) END,
       CASE WHEN CAST(:off AS text) IS NULL THEN 'pending' ELSE 'skipped' END,
       :off, :now, :request_id
  FROM unnest(CAST(:contacts AS bigint[]), CAST(:kinds AS text[]), CAST(:occasions AS text[]),
              CAST(:notices AS bigint[]), CAST(:due AS timestamptz[]))
       AS new (contact_id, kind, once_for, notice_id, due_at)
ON CONFLICT (contact_id, kind, once_for) WHERE state <> 'skipped' DO NOTHING
RETURNING contact_id, kind, once_for
""")


def write(session: Session, mails: Sequence[NewMail], *, now: datetime) -> set[Place]:
    """Write the mails that are not there yet; return their places.

    While mail is off each is written as skipped: nothing piles up to be sent at once later.
    """
    if not mails:
        return set()
    written = session.execute(
        _INSERT,
        {
            "contacts": int_array([mail.contact_id for mail in mails]),
            "kinds": text_array([mail.kind.value for mail in mails]),
            "occasions": text_array([mail.once_for for mail in mails]),
            "notices": int_array([mail.notice_id for mail in mails]),
            "due": time_array([mail.due_at for mail in mails]),
            "off": mail_switch.off_because(),
            "now": now,
            "request_id": request_ids.current(),
        },
    )
    return {(row[0], row[1], row[2]) for row in written}
