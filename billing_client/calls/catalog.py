"""The catalog: what is sold, and what it costs."""

from billing_client.call import Call, get, given, reader_of
from billing_client.checks import checked_text
from billing_client.results import Catalog


def catalog(*, product: str | None) -> Call[Catalog]:
    """Return what is sold to accounts in reach."""
    query = given(product=None if product is None else checked_text("product", product))
    return get("/v1/catalog", reader_of(Catalog), query=query)
