"""The credit of one piece of work: held before it, captured or voided after it, whatever happens.

A piece of work is named by a key: whoever comes with the same key is after the same hold, be it a
repeat, a redelivery or a second copy at the same time. A hold that ended without a capture is
followed by one under the key with a number (`KEY#2`), which all of them find in the same way.
Knows neither Flask nor Celery; `flask_credits.py` and `celery_credits.py` decide when it ended.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from hashlib import sha256

from billing_client.errors import BillingError, HoldFinished, InvalidRequest, TooManyHolds
from billing_client.results import Hold
from billing_client.terms import Terms

MOST_HOLDS = 50
"""One after the other under one key: each costs a repeat two requests to get past."""

_log = logging.getLogger("billing_client")
_PLAIN_KEY = re.compile("[!-~]{1,180}").fullmatch
_current: ContextVar["PaidWork | None"] = ContextVar("billing_client_paid_work", default=None)


class PaidWork:
    """The credit of one piece of work, from its first to its last moment."""

    def __init__(self, terms: Terms, key: str) -> None:
        self._terms = terms
        self.key = key
        self._number = 0
        self._hold: Hold | None = None
        self._used: int | None = None
        self.is_paid = False
        """It is captured: by this run of the work, or before."""
        self.was_captured_here = False
        self.is_under_way = False
        """Work that it keeps credit for runs now."""

    def begin(self) -> None:
        """Hold the credit, or find the hold that is there, or that it was paid.

        Raises `NotEnoughCredit`, `IdempotencyConflict` (the key stands for another amount),
        `TooManyHolds`, `Unreachable` and kin.
        """
        if not self._terms.amount:
            return
        while self._number < MOST_HOLDS:
            self._number += 1
            hold = self._placed()
            if hold.state in ("open", "captured"):
                self._hold = hold
                self.is_paid = hold.state == "captured"
                return
        raise TooManyHolds(
            f"{MOST_HOLDS} holds have ended under one key without a capture: use a new key"
        )

    def use(self, amount: int) -> None:
        """Note what the work used. Raises `InvalidRequest` for more than is held."""
        if type(amount) is not int or amount < 0:
            raise InvalidRequest("credits_used: must be a whole number (int) from 0")
        if amount > self._terms.amount:
            raise InvalidRequest(
                f"credits_used: {amount} is more than the {self._terms.amount} that are held"
            )
        self._used = amount

    def settle(self) -> None:
        """Charge what was used, once, however often this work was or is done.

        A hold that ended meanwhile (its time was up, or a copy of the work failed and voided it)
        is followed by another. Raises as `begin`; after `Unreachable` it is not known whether it
        was charged, and whoever comes with the same key finds out.
        """
        used = self._terms.amount if self._used is None else self._used
        if not used:
            self.release()
            return
        while self._hold is not None and not self.is_paid:
            try:
                self._terms.client.capture_hold(self._hold.hold_id, amount=used)
                self.is_paid = self.was_captured_here = True
            except HoldFinished as finished:
                if finished.state == "captured":
                    self.is_paid = True
                else:
                    self._hold = None
                    self.begin()

    def release(self) -> None:
        """Free what is held. One that cannot be freed now frees itself when its time is up."""
        hold, self._hold = self._hold, None
        if hold is None or self.is_paid:
            return
        try:
            self._terms.client.void_hold(hold.hold_id)
        except HoldFinished:
            return  # it expired, or a copy of this work ended it
        except BillingError as error:
            _log.warning(
                "hold %s could not be voided (%s): it frees itself when it expires",
                hold.hold_id, type(error).__name__,
            )  # fmt: skip

    @contextmanager
    def current(self) -> Iterator[None]:
        """Let `credits_used` of the block speak of this work."""
        token = _current.set(self)
        self.is_under_way = self._hold is not None  # free work may call itself as it likes
        try:
            yield
        finally:
            self.is_under_way = False
            _current.reset(token)

    def _placed(self) -> Hold:
        client = self._terms.client
        hold = client.place_hold(
            self._terms.account,
            self._terms.amount,
            expires_in_seconds=self._terms.expires_in_seconds,
            description=self._terms.description,
            idempotency_key=self.key if self._number == 1 else f"{self.key}#{self._number}",
        )
        # What was answered before may be old news.
        return self._as_it_is(hold.hold_id) if hold.replayed else hold

    def _as_it_is(self, hold_id: str) -> Hold:
        client = self._terms.client
        hold = client.hold_status(hold_id)
        if hold.state != "expired":
            return hold
        # That was told by the clock: a capture of the last moment may not be seen yet, and a second
        # hold would then be charged as well. Who would end it waits for that capture.
        try:
            return client.void_hold(hold_id)
        except HoldFinished as finished:
            return replace(hold, state=finished.state)


def credits_used(amount: int) -> None:
    """Tell, inside a function with `require_credits`, what it used: 0 up to what is held.

    Only that is charged, nothing for 0. The last call counts. Raises `InvalidRequest` for more
    than is held, and outside of such a function.
    """
    work = _current.get()
    if work is None:
        raise InvalidRequest(
            "credits_used: only while a function with require_credits runs, in its own thread"
        )
    work.use(amount)


def plain_key(prefix: str, *parts: str) -> str:
    """Return a key that can be read, or its hash where it is long or no header could hold it."""
    key = ":".join((prefix, *parts))
    return key if _PLAIN_KEY(key) else hashed_key(prefix, *parts)


def hashed_key(prefix: str, *parts: str) -> str:
    """Return a key that tells nothing of its parts, and stands for no others."""
    return f"{prefix}:{sha256(json.dumps(parts).encode()).hexdigest()}"


def begin_once(work: PaidWork, others: list[PaidWork]) -> None:
    """`begin`, unless this very request or task has a call under the key that is paid or runs.

    The second call would find its hold, and be free. Raises `InvalidRequest` then.
    """
    twins = [other for other in others if other.key == work.key]
    if any(twin.was_captured_here or twin.is_under_way for twin in twins):
        raise InvalidRequest(
            "require_credits: this function was called twice in one request or task, and is paid"
            " once: decorate the view or the task, or tell the calls apart with key=..."
        )
    work.begin()
    others.append(work)
