"""The catalog and the time zones: both are read from files that an installation may lack."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import text

from billing import catalog
from cli.examinations.diagnosis import Diagnosis, broken, well
from db.session import transaction
from errors import BillingError
from settings import Settings

_ZONES = text("SELECT timezone, min(ref) AS ref FROM accounts GROUP BY timezone ORDER BY timezone")


def examine(known: Settings) -> Iterator[Diagnosis]:
    """Yield whether the catalog is valid and every account's zone is known."""
    try:
        catalog.get()
    except catalog.CatalogError as error:
        problems = "; ".join(str(error).splitlines())
        yield broken("catalog", problems, "correct the file of BILLING_CATALOG")
    else:
        yield well("catalog", str(known.billing_catalog))
    yield from _zones()


def _zones() -> Iterator[Diagnosis]:
    try:
        with transaction() as session:
            zones = session.execute(_ZONES).all()
    except BillingError:
        return  # the examination of the database says why
    unknown = [f"{zone} (of {ref})" for zone, ref in zones if not _is_known(zone)]
    if unknown:
        yield broken(
            "time zones",
            f"this computer does not know {', '.join(unknown)}",
            "update tzdata, or set another zone with `billing accounts set REF --timezone`",
        )
    else:
        yield well("time zones", "this computer knows the zones of all accounts")


def _is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
