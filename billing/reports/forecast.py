"""The forecast of how long an account's credit lasts, from its spending in the last four weeks."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import accounts
from billing.calendar import end_of_local_day
from billing.errors import UnknownAccount
from db.bulk import time_array

DAYS = 28
SHORT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Forecast:
    """Credits spent per day, and the days that the available credit lasts at that rate."""

    account: str
    available: int
    daily: list[int]
    """Credits spent on each of the last 28 local days, oldest first; the last is today so far."""
    per_day_7: float
    per_day_28: float
    days_left: float | None
    """At the rate of 7 days, or of 28 if nothing was spent in 7; None: nothing was spent."""
    runs_out_at: datetime | None


# Charges less their reversals, by the day of each.
_SPENT = text("""
SELECT width_bucket(t.event_at, CAST(:bounds AS timestamptz[])) AS day, -sum(t.amount)::bigint,
       min(t.event_at)
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
 WHERE a.ref = :ref AND t.event_at >= :since AND t.event_at <= :now
   AND t.kind IN ('lead_charge', 'lead_refund', 'usage', 'usage_refund')
 GROUP BY 1
""")


def forecast(session: Session, ref: str) -> Forecast:
    """Return the forecast of an account; raises `UnknownAccount`.

    The rates are those of the last 7 and 28 times 24 hours, or of the account's whole life if it is
    shorter (at least one day). The life begins with the opening of the account, or with the first
    charge of the 28 days if that is earlier. The days of `daily` are local to the account's time
    zone. Credit that expires before it would be spent counts as available.
    """
    account = accounts.find(session, ref)
    if account is None:
        raise UnknownAccount(ref)
    now = clock.now()
    available = accounts.available(account)
    daily_bounds = [
        end_of_local_day(now, account.timezone, days_later=-days) for days in range(DAYS, 0, -1)
    ]
    daily, _ = _spent(session, ref, daily_bounds, now)
    last = [now - timedelta(days=DAYS), now - timedelta(days=SHORT_DAYS)]
    (earlier, short), first = _spent(session, ref, last, now)
    began = min(account.created_at, first or now)
    age_days = max((now - began) / timedelta(days=1), 1.0)
    per_day_7 = max(short, 0) / min(SHORT_DAYS, age_days)
    per_day_28 = max(earlier + short, 0) / min(DAYS, age_days)
    rate = per_day_7 or per_day_28
    days_left = max(available, 0) / rate if rate else None
    return Forecast(
        account=ref,
        available=available,
        daily=daily,
        per_day_7=per_day_7,
        per_day_28=per_day_28,
        days_left=days_left,
        runs_out_at=_later(now, days_left),
    )


def _spent(
    session: Session, ref: str, bounds: list[datetime], now: datetime
) -> tuple[list[int], datetime | None]:
    """Return the credits spent from each bound to the next, and the time of the first charge."""
    rows = session.execute(
        _SPENT, {"ref": ref, "bounds": time_array(bounds), "since": bounds[0], "now": now}
    )
    spent, firsts = dict[int, int](), list[datetime]()
    for day, amount, first in rows:
        spent[day] = amount
        firsts.append(first)
    return [spent.get(day, 0) for day in range(1, len(bounds) + 1)], min(firsts, default=None)


def _later(now: datetime, days: float | None) -> datetime | None:
    if days is None or days > 36_500:  # a century: beyond the range of dates, and of any use
        return None
    return now + timedelta(days=days)
