"""The price of a lead, by the tiers of the catalog. Pure; used by charging and by the status."""

from collections.abc import Sequence

from billing.catalog import LeadTier


def lead_price_credits(package_price_paise: int, tiers: Sequence[LeadTier]) -> int:
    """Return the price in credits of a lead for a package of `package_price_paise`.

    `tiers` rise and start at zero, as the catalog guarantees; a bound belongs to the tier above it.
    """
    reached = (tier for tier in reversed(tiers) if tier.from_paise <= package_price_paise)
    return next(reached).credits
