"""The credit of one piece of work: held before it, captured or voided after it.

A piece of work is named by a key. A repeat, a redelivery and a copy at the same time have the same
key and so the same hold. If a hold ends without a capture, the next one has the key with a number
(`KEY#2`), which all of them find in the same way. Knows neither Flask nor Celery nor asyncio:
`flask_credits.py`, `celery_credits.py` and `async_credits.py` decide when the work has ended, and
`steps.py` drives what asks billing here, which are generators.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from billing_client.errors import (
    BillingError,
    HoldFinished,
    InvalidRequest,
    StillRunning,
    TooManyHolds,
    UnexpectedAnswer,
)
from billing_client.local_runs import LocalRuns
from billing_client.results import Hold, HoldState
from billing_client.steps import Steps, ask
from billing_client.terms import Terms

MOST_HOLDS = 50
"""Holds under one key, one after the other: a repeat needs two requests to pass each."""

_log = logging.getLogger("billing_client")
_PLAIN_KEY = re.compile(r"[!-+\--~]{1,180}").fullmatch
"""Visible ASCII without the comma, which the API refuses in a key."""
_local_runs = LocalRuns()
_current: ContextVar["PaidWork | None"] = ContextVar("billing_client_paid_work", default=None)


class PaidWork:
    """One piece of work and its credit, from the hold to the charge."""

    def __init__(self, terms: Terms, key: str, *, alone_for_seconds: int | None = None) -> None:
        """With `alone_for_seconds`, `begin` refuses while another run has the key.

        A run of another process counts for so long after it has placed its hold, since nobody
        knows whether that process lives. The caller ends the work with `leave`.
        """
        self._terms = terms
        self.client = terms.client
        self.key = key
        self._alone_for_seconds = alone_for_seconds
        self._has_entered = False
        self._may_be_open = False
        self._number = 0
        self._hold: Hold | None = None
        self._used: int | None = None
        self.is_paid = False
        """The hold is captured: by this run of the work or an earlier one."""
        self.was_captured_here = False
        self.is_running = False
        """The work runs now."""

    def begin(self) -> Steps[None]:
        """Hold the credit, or find the hold of an earlier run, open or captured.

        Raises `NotEnoughCredit`, `IdempotencyConflict` (the key was used with another amount),
        `StillRunning`, `TooManyHolds`, and as `BillingClient.place_hold`.
        """
        if not self._terms.amount:
            return
        if self._alone_for_seconds is not None and not self._has_entered:
            if not _local_runs.enter(self.key):
                raise StillRunning("work under this key runs in this process")
            self._has_entered = True
        while self._number < MOST_HOLDS:
            self._number += 1
            self._may_be_open = True
            hold = yield from self._placed()
            if hold.state in ("open", "captured"):
                self._hold = hold
                self.is_paid = hold.state == "captured"
                self._may_be_open = not self.is_paid
                return
            _require_ended(hold.state)
            self._may_be_open = False
        raise TooManyHolds(
            f"{MOST_HOLDS} holds under one key have ended without a capture: use a new key"
        )

    def use(self, amount: int) -> None:
        """Set the credits that the work used. Raises `InvalidRequest` if more than is held."""
        if type(amount) is not int or amount < 0:
            raise InvalidRequest("credits_used: must be a whole number (int), 0 or more")
        if amount > self._terms.amount:
            raise InvalidRequest(
                f"credits_used: must be at most {self._terms.amount}, which are held, not {amount}"
            )
        self._used = amount

    def settle(self) -> Steps[None]:
        """Charge what was used, once for all runs of this work.

        If the hold has ended (it expired, or a copy of the work failed and voided it), another one
        is placed and captured. Raises as `begin`; after `Unreachable` it is unknown whether the
        charge was made, and a repeat with the same key finds out.
        """
        used = self._terms.amount if self._used is None else self._used
        if not used:
            yield from self.release()
            return
        while self._hold is not None and not self.is_paid:
            try:
                yield from _capture(self._hold.hold_id, used)
                self.is_paid = self.was_captured_here = True
                self._may_be_open = False
            except HoldFinished as finished:
                self._may_be_open = False
                if finished.state == "captured":
                    self.is_paid = True
                else:
                    _require_ended(finished.state)
                    self._hold = None
                    yield from self.begin()

    def release(self) -> Steps[None]:
        """Void the hold. If that is not possible now, it expires by itself."""
        hold, self._hold = self._hold, None
        if hold is None or self.is_paid:
            return
        try:
            yield from ask(lambda client: client.void_hold(hold.hold_id))
            self._may_be_open = False
        except HoldFinished:
            self._may_be_open = False  # it expired, or a copy of this work ended it
        except BillingError as error:
            _log.warning(
                "hold %s could not be voided (%s): it will expire by itself",
                hold.hold_id,
                type(error).__name__,
            )

    def leave(self) -> None:
        """Let another run have the key; called once, however the work has ended."""
        if self._has_entered:
            _local_runs.leave(self.key, may_be_open=self._may_be_open)
            self._has_entered = False

    @contextmanager
    def current(self) -> Iterator[None]:
        """Let `credits_used` in the block apply to this work."""
        token = _current.set(self)
        self.is_running = self._hold is not None  # free work may call itself
        try:
            yield
        finally:
            self.is_running = False
            _current.reset(token)

    def _placed(self) -> Steps[Hold]:
        terms = self._terms
        key = self.key if self._number == 1 else f"{self.key}#{self._number}"
        hold = yield from ask(
            lambda client: client.place_hold(
                terms.account,
                terms.amount,
                expires_in_seconds=terms.expires_in_seconds,
                description=terms.description,
                idempotency_key=key,
            )
        )
        if not hold.replayed:
            return hold
        # A stored answer may be out of date.
        found = yield from self._current_state_of(hold.hold_id)
        if found.state == "open" and not hold.retried and self._belongs_to_another_run(found):
            self._may_be_open = False  # it is not this run's to leave
            raise StillRunning("work under this key runs in another process, or has just died")
        return found

    def _belongs_to_another_run(self, hold: Hold) -> bool:
        if self._alone_for_seconds is None or hold.expires_at is None:
            return False
        if _local_runs.was_left_open(self.key):
            return False
        placed_at = hold.expires_at - timedelta(seconds=self._terms.expires_in_seconds)
        return datetime.now(UTC) - placed_at < timedelta(seconds=self._alone_for_seconds)

    def _current_state_of(self, hold_id: str) -> Steps[Hold]:
        hold = yield from ask(lambda client: client.hold_status(hold_id))
        if hold.state != "expired":
            return hold
        # The state follows from the clock: a capture of the last moment may not be visible yet, and
        # a second hold would be charged as well. A void waits for that capture.
        try:
            return (yield from ask(lambda client: client.void_hold(hold_id)))
        except HoldFinished as finished:
            return replace(hold, state=finished.state)


def _capture(hold_id: str, amount: int) -> Steps[Hold]:
    return ask(lambda client: client.capture_hold(hold_id, amount=amount))


def credits_used(amount: int) -> None:
    """Report, inside a function with `require_credits`, the credits that it used.

    Only those are charged; 0 charges nothing. The last call counts. Raises `InvalidRequest` if
    `amount` is more than is held, and outside of such a function.
    """
    work = _current.get()
    if work is None:
        raise InvalidRequest(
            "credits_used: call it only while a function with require_credits runs, in its own"
            " thread"
        )
    work.use(amount)


def _require_ended(state: HoldState) -> None:
    # A state of a newer server could mean anything, also that the work is paid.
    if state not in (HoldState.VOIDED, HoldState.EXPIRED):
        raise UnexpectedAnswer(200, f"the hold is {state}, a state unknown to this version")


def plain_key(prefix: str, *parts: str) -> str:
    """Return a readable key, or its hash if it is too long or does not fit into a header."""
    key = ":".join((prefix, *parts))
    return key if _PLAIN_KEY(key) else hashed_key(prefix, *parts)


def hashed_key(prefix: str, *parts: str) -> str:
    """Return a key that hides its parts and is unique to them."""
    return f"{prefix}:{sha256(json.dumps(parts).encode()).hexdigest()}"


def begin_once(work: PaidWork, others: list[PaidWork]) -> Steps[None]:
    """Begin the work, unless this request or task has other work under the key, paid or running.

    The second call would find the first one's hold and be free. Raises `InvalidRequest` instead.
    """
    twins = [other for other in others if other.key == work.key]
    if any(twin.was_captured_here or twin.is_running for twin in twins):
        raise InvalidRequest(
            "require_credits: this function was called twice in one request or task but is charged"
            " once: decorate the view or the task, or give each call another key=..."
        )
    yield from work.begin()
    others.append(work)
