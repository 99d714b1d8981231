"""What is asked about notices: those that wait too long, those that are dead, endpoints, mails.

`checks.py` asks these with all others. What is dead counts for a month: a receiver may have asked
for what it missed by `GET /v1/events`, which nobody here learns of.
"""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
import settings
from billing.notices import GONE, IS_A_TEST, NO_SUCCESS
from billing.oversight.check import PERSON, Check
from billing.oversight.levels import COUNTED, Finding, Level, Patience

_OFF_BY_ITSELF = f"state = 'off' AND state_reason IN ('{GONE}', '{NO_SUCCESS}')"

NOTICE_CHECKS: tuple[Check, ...] = (
    Check(
        "notices_to_place",
        "SELECT created_at FROM outbox_events WHERE position IS NULL AND superseded_at IS NULL"
        " ORDER BY id",
        Patience(attention=timedelta(minutes=2), broken=timedelta(minutes=15)),
        "see that the process `notices` runs",
    ),
    Check(
        # An endpoint that is failing, or is left alone for a while, has a finding of its own or
        # none; but one without a failure is left alone because its secret cannot be read. A notice
        # in line behind another of its account has no time of its next attempt.
        "notices_waiting",
        "SELECT d.next_attempt_at FROM notice_endpoints e CROSS JOIN LATERAL ("
        "SELECT next_attempt_at FROM notice_deliveries WHERE endpoint_id = e.id"
        " AND state = 'pending' AND next_attempt_at <= :now"
        f" ORDER BY next_attempt_at LIMIT {COUNTED + 1}) d"
        " WHERE e.state = 'on' AND (e.paused_until IS NULL OR e.paused_until <= :now"
        " OR e.consecutive_failures = 0)"
        " ORDER BY d.next_attempt_at",
        Patience(attention=timedelta(minutes=5), broken=timedelta(hours=1)),
        "see that the process `notices` runs, and that WEB_SECRETS is as it was (log: endpoint"
        " secret unreadable); billing notices list --state pending",
    ),
    Check(
        "notices_dead",
        "SELECT d.finished_at FROM notice_endpoints e CROSS JOIN LATERAL ("
        "SELECT finished_at FROM notice_deliveries d WHERE endpoint_id = e.id"
        f" AND state IN ('dead', 'skipped') AND state = 'dead' AND NOT {IS_A_TEST}"
        " AND finished_at > CAST(:now AS timestamptz) - interval '30 days'"
        f" ORDER BY position DESC LIMIT {COUNTED + 1}) d"
        " WHERE e.state <> 'removed' ORDER BY d.finished_at",
        PERSON,
        "billing notices list --state dead; then replay them",
    ),
    Check(
        "mails_waiting",
        "SELECT next_attempt_at FROM notice_mails WHERE state = 'pending'"
        " AND next_attempt_at <= :now ORDER BY next_attempt_at",
        Patience(attention=timedelta(minutes=15), broken=timedelta(hours=6)),
        "see that the process `notices` runs, and that SMTP_URL answers: billing doctor",
    ),
    Check(
        "mails_dead",
        "SELECT finished_at FROM notice_mails WHERE state = 'dead'"
        " AND finished_at > CAST(:now AS timestamptz) - interval '30 days' ORDER BY finished_at",
        PERSON,
        "billing notices contacts list: an address may be wrong",
    ),
    Check(
        "endpoints_failing",
        "SELECT first_failure_at FROM notice_endpoints WHERE state = 'failing'"
        " AND lease_until IS NULL",
        PERSON,
        "billing notices endpoints list",
    ),
    Check(
        "endpoints_off",
        f"SELECT first_failure_at FROM notice_endpoints WHERE {_OFF_BY_ITSELF}",
        PERSON,
        "billing notices endpoints list; when it works: billing notices endpoints enable ID",
    ),
    Check(
        "endpoints_off_by_hand",
        "SELECT CAST(NULL AS timestamptz) FROM notice_endpoints"
        f" WHERE state = 'off' AND NOT ({_OFF_BY_ITSELF})",
        Patience(),  # somebody wants it so
        "billing notices endpoints list",
    ),
)

_ENDPOINTS = text("""
SELECT count(*) FROM notice_endpoints
 WHERE state <> 'removed' AND (lease_until IS NULL OR lease_until > :real_now)
""")
_CONTACTS = text("SELECT count(*) FROM notice_contacts WHERE address IS NOT NULL")


def of_settings(session: Session) -> list[Finding]:
    """Return whether what the rows ask for can be done with the settings of this environment.

    A house that wants no mail is well without a server for it: mail that is off needs attention
    only if there is somebody to be mailed.
    """
    known = settings.get()
    endpoints = (
        0 if known.web_secrets else session.scalar(_ENDPOINTS, {"real_now": clock.real_now()}) or 0
    )
    contacts = 0 if known.smtp_url else session.scalar(_CONTACTS) or 0
    return [
        Finding(
            "web_secrets_missing",
            Level.BROKEN if endpoints else Level.WELL,
            endpoints,
            None,
            "set WEB_SECRETS as it was: no notice to these endpoints can be signed",
        ),
        Finding(
            "mail_off",
            Level.ATTENTION if contacts else Level.WELL,
            contacts,
            None,
            "set SMTP_URL, or remove the contacts: nobody is mailed",
        ),
    ]
