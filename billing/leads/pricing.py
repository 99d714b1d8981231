"""What a lead costs: pure, and driven by the catalog's table of tiers."""

from collections.abc import Sequence

from billing.catalog import LeadTier


def lead_price_credits(package_price_paise: int, tiers: Sequence[LeadTier]) -> int:
    """Return the credits a lead costs whose package is worth `package_price_paise`.

    `tiers` rise and start at nought, as the catalog guarantees; a bound belongs to its tier.
    """
    reached = (tier for tier in reversed(tiers) if tier.from_paise <= package_price_paise)
    return next(reached).credits
