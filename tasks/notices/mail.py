"""Mails on their way out: leased with their facts, composed, handed to the mail server, finished.

The call is outside any transaction, and each mail is finished by itself: a worker that is killed
sends at most the few again that it had in hand, under the same Message-IDs.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Lock

import structlog

import clock
import settings
from billing.notices import mail_queue
from billing.notices.mail_queue import LeasedMail
from db.session import transaction
from notify.mail import MailNotNow, MailRefused, compose, send
from tasks.plumbing import mutex, nudges
from worker.app import app

log = structlog.get_logger()

THREADS = 4
"""Mails on their way at once: most of the time is spent waiting for the server."""
ROUND = 20
"""Mails leased at once."""
NO_NEW_AFTER_SECONDS = 10
"""No mail is begun after this. One takes up to 30 seconds after the name of its server is found."""
MOST_FAILURES_IN_A_ROW = 3
"""After these the server is left alone until the next tick; the rest keep their attempts."""


@app.task(name=nudges.MAILS_TASK, **mutex.TIME_LIMITS)
def send_mails() -> None:
    """Send the mails that are due, in one process at a time."""
    nudges.acknowledge(nudges.MAILS)
    with mutex.try_lock("sending_mails") as is_held:
        if is_held:
            _send_until(_Patience(time.monotonic() + NO_NEW_AFTER_SECONDS))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one mail that was tried."""

    mail: LeasedMail
    failure: str | None = None
    """In our words; None: the server took it."""
    for_good: bool = False


class _Patience:
    """Whether another mail is begun: while there is time, and the server takes some."""

    def __init__(self, stop_at: float) -> None:
        self._stop_at = stop_at
        self._lock = Lock()
        self._failures = 0

    def is_left(self) -> bool:
        return time.monotonic() < self._stop_at and self._failures < MOST_FAILURES_IN_A_ROW

    def note(self, *, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0


def _send_until(patience: _Patience) -> None:
    while patience.is_left():
        with transaction() as session:
            leased, seen = mail_queue.lease(session, now=clock.now(), limit=ROUND)
        if not seen:
            return
        _send_round(leased, patience)


def _send_round(leased: Sequence[LeasedMail], patience: _Patience) -> None:
    untried = []
    with ThreadPoolExecutor(THREADS) as threads:
        sent = {threads.submit(_try, mail, patience): mail for mail in leased}
        for done in as_completed(sent):
            outcome = done.result()
            if outcome is None:
                untried.append(sent[done])
            else:
                _finish(outcome)
    if untried:
        with transaction() as session:
            mail_queue.give_back(session, untried)


def _try(mail: LeasedMail, patience: _Patience) -> _Outcome | None:
    """Send one mail; None: it was not tried. An error of one mail does not stop the others."""
    known = settings.get()
    server, sender = known.smtp, known.sender
    if not patience.is_left() or server is None or sender is None:
        return None
    try:
        send(compose(mail.facts, sender=sender), server=server)
    except MailRefused as error:
        return _Outcome(mail, error.for_log(), for_good=True)
    except MailNotNow as error:
        patience.note(failed=True)
        return _Outcome(mail, error.for_log())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and kept on the row
        return _Outcome(mail, f"cannot be written: {type(error).__name__}")
    patience.note(failed=False)
    return _Outcome(mail)


def _finish(outcome: _Outcome) -> None:
    mail, now = outcome.mail, clock.now()
    with transaction() as session:
        if outcome.failure is None:
            mail_queue.finish_sent(session, mail, now=now)
        else:
            mail_queue.finish_failed(
                session, mail, outcome.failure, for_good=outcome.for_good, now=now
            )
    if outcome.failure is None:
        log.info("mail sent", mail=mail.mail_id, kind=mail.facts.kind.value, attempt=mail.attempt)
