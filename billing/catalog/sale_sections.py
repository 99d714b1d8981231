"""Sections of the catalog on products and money: what it buys, and what happens to credit."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from billing.catalog.section import Section, require_rising
from billing.money import MAX_CREDITS


class Product(Section):
    """A product that accounts can belong to."""

    name: Annotated[str, Field(min_length=1)]
    leads_without_credit: Literal["park", "charge"] = "park"
    """What happens to a lead that an account cannot pay: it waits, or it is charged as debt."""
    max_overdraft_credits: Annotated[int, Field(ge=0, le=MAX_CREDITS)] = 0
    """The highest overdraft limit that an account can be given, by whichever door."""
    billing_url: Annotated[str, Field(max_length=500)] | None = None
    """The platform's page on which its customers pay; mails and the pages of `web` lead to it."""

    @field_validator("billing_url")
    @classmethod
    def _address_to_show(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            right = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            right = None
        if not right or "@" in parts.netloc or not (url.isascii() and url.isprintable()):
            raise ValueError("must be an address such as https://platform.example/billing")
        if " " in url:
            raise ValueError("must hold no blank: write it as %20")
        return url


class Slab(Section):
    """Money from `from_paise` on brings `bonus_percent` of its credits on top."""

    from_paise: Annotated[int, Field(ge=100)]
    bonus_percent: Annotated[int, Field(ge=0, le=1000)]


class TopUps(Section):
    """What any amount of money buys on accounts of one product."""

    credits_per_rupee: Annotated[int, Field(gt=0, le=1_000_000)]
    slabs: Annotated[list[Slab], Field(min_length=1)]

    @field_validator("slabs")
    @classmethod
    def _rising(cls, slabs: list[Slab]) -> list[Slab]:
        require_rising("slabs", [slab.from_paise for slab in slabs])
        return slabs


class Package(Section):
    """Credit that is bought by name."""

    product: str
    price_paise: Annotated[int, Field(ge=100)]
    credits: Annotated[int, Field(gt=0, le=MAX_CREDITS)] | None = None
    """None: what the price buys by the product's `top_ups`."""


class Lots(Section):
    """How long credit lives."""

    refund_of_expired_days: Annotated[int, Field(gt=0, le=3650)] = 30


class Alerts(Section):
    """When the owner of an account is notified about its balance."""

    low_balance: Annotated[int, Field(ge=0, le=MAX_CREDITS)] = 500


class Payments(Section):
    """How long payments may take before the gateway is asked."""

    ask_after_minutes: Annotated[int, Field(gt=0, le=1440)] = 15
    give_up_after_days: Annotated[int, Field(gt=0, le=90)] = 7
    capture_after_seconds: Annotated[int, Field(ge=0, le=86_400)] = 20
    silent_after_minutes: Annotated[int, Field(gt=0, le=10_080)] = 120


class Refunds(Section):
    """What happens to refunded credit that was already spent."""

    when_spent: Literal["debt", "cap"] = "debt"
