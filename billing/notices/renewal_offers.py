"""What a further year of an account's plan costs, and where to pay: for mails and for their link.

Used by `mail_loading.py` and by the page of the signed link (`web/`).
"""

from dataclasses import dataclass
from datetime import date

from sqlalchemy.orm import Session

from billing import catalog, plans
from billing.calendar import local_day_of
from billing.notices.zones import known_zone
from db.models import Account


@dataclass(frozen=True, slots=True)
class RenewalOffer:
    """The renewal of an account's plan, as it stands now."""

    account: str
    account_name: str
    plan: str
    """As customers read it."""
    status: plans.RenewalStatus
    due_on: date
    grace_ends_on: date
    """The first local day on which it is degraded if nobody pays."""
    price_paise: int | None
    """GST included; None: it is no longer sold."""
    billing_url: str | None
    """The product's page to pay; None: the catalog names none."""
    zone: str


def find_offer(session: Session, account_id: int) -> RenewalOffer | None:
    """Return what an account's renewal costs now; None: it has no plan."""
    account = session.get(Account, account_id, populate_existing=True)
    if account is None:
        return None
    found = plans.overview.get_overview(session, account)
    if found.plan is None or found.renewal is None:
        return None
    sold = catalog.get().plans.values()
    price = next((one.price_paise for one in sold if one.renews == found.plan.plan_type), None)
    zone = known_zone(account.timezone)
    return RenewalOffer(
        account=account.ref,
        account_name=account.name,
        plan=product_name(account.product),
        status=found.renewal.service_renewal_status,
        due_on=found.renewal.due_on,
        grace_ends_on=local_day_of(found.renewal.grace_ends_at, zone),
        price_paise=price,
        billing_url=billing_url_of(account.product),
        zone=zone,
    )


def product_name(product: str) -> str:
    """Return the name of a product as customers read it."""
    known = catalog.get().products.get(product)
    return known.name if known else product


def billing_url_of(product: str) -> str | None:
    """Return the page on which a product's customers pay, if the catalog names one."""
    known = catalog.get().products.get(product)
    return known.billing_url if known else None
