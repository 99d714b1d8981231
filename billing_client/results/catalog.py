"""The catalog: what is sold, and what it costs, in paise of `currency`."""

from dataclasses import dataclass

from billing_client.results.disputes import DisputeType


@dataclass(frozen=True, slots=True)
class Product:
    """A product that accounts belong to."""

    name: str
    """As the `product` of an account."""
    title: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Package:
    """Credit that is bought by name."""

    name: str
    """As the `package` of an order."""
    product: str
    price_paise: int
    credits: int
    """Without the bonus."""
    bonus_credits: int


@dataclass(frozen=True, slots=True)
class Slab:
    """Money from `from_paise` on brings `bonus_percent` of its credits on top."""

    from_paise: int
    bonus_percent: int


@dataclass(frozen=True, slots=True)
class FreeAmount:
    """What any amount of money buys: credits by the rupee, rounded down.

    The highest slab that the amount reaches decides the bonus, which is rounded down as well.
    """

    product: str
    from_paise: int
    """The least amount."""
    to_paise: int
    """The largest amount."""
    credits_per_rupee: int
    slabs: tuple[Slab, ...]
    """Rising."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, or a further year of one, and what it brings."""

    name: str
    """As the `plan` of an order."""
    product: str
    price_paise: int
    renews: str | None
    """The plan that this is a further year of."""
    monthly_credits: int
    branches: int
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeadTier:
    """Leads whose package is worth at least `from_paise`, up to the next tier, cost `credits`."""

    from_paise: int
    credits: int


@dataclass(frozen=True, slots=True)
class LeadPricing:
    """What a lead costs, by the value of the package asked for."""

    tiers: tuple[LeadTier, ...]
    """Rising, from zero."""


@dataclass(frozen=True, slots=True)
class DisputeRules:
    """For which reasons a lead can be disputed, and for how long."""

    types: tuple[DisputeType, ...]
    window_days: int
    """Days after the charge."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is sold to accounts in the API key's reach."""

    currency: str
    products: tuple[Product, ...]
    packages: tuple[Package, ...]
    free_amounts: tuple[FreeAmount, ...]
    """A product that is sold in packages only has none."""
    plans: tuple[Plan, ...]
    lead_pricing: LeadPricing
    disputes: DisputeRules
