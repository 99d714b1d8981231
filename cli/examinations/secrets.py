"""The secrets of the doors: who may send leads, and who may use the API."""

from collections.abc import Iterator

from billing.access import keys
from cli.examinations.diagnosis import Diagnosis, attention, well
from db.pages import Wanted
from db.session import transaction
from errors import BillingError
from settings import Settings


def examine(known: Settings) -> Iterator[Diagnosis]:
    """Yield which doors nobody can pass; `settings/` refuses secrets that are too short."""
    if known.lead_webhook_secrets:
        yield well("leads", f"webhook secrets: {len(known.lead_webhook_secrets)}")
    else:
        detail = "LEAD_WEBHOOK_SECRETS is not set: the receiver refuses leads"
        yield attention("leads", detail, "set it, unless leads come by Celery or the API alone")
    try:
        with transaction() as session:
            made = len(keys.list_by_name(session, Wanted(1, counted=False)))
    except BillingError:
        return  # the examination of the database says why
    if known.api_keys or made:
        yield well("api keys", "there is at least one")
    else:
        remedy = "billing api-keys create NAME --product PRODUCT"
        yield attention("api keys", "there is none: nobody can use the API", remedy)
