"""The zone in which an account's mails count days and show times."""

from zoneinfo import ZoneInfo

import settings
from billing.plans import CALENDAR_ERRORS


def known_zone(name: str | None) -> str:
    """Return the zone of an account; that of BILLING_TIMEZONE for operators.

    Also for a zone that the zone database no longer has: one account keeps no other's mail back.
    """
    try:
        return ZoneInfo(name).key if name else settings.get().billing_timezone
    except CALENDAR_ERRORS:
        return settings.get().billing_timezone
