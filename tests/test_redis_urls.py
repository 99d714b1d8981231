"""Two readers of addresses of Redis, ours and the client's: one table of outcomes."""

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

import settings
from billing_client import CeleryBillingClient, InvalidRequest
from billing_client import redis_url as of_the_client
from settings import redis_url
from tests.redis_urls import MEANINGS, NOTHING, REFUSALS

READERS: tuple[Callable[[str], Any], ...] = (redis_url.read, of_the_client.read)
both = pytest.mark.parametrize("read", READERS, ids=["settings", "client"])


@both
@pytest.mark.parametrize("url", MEANINGS)
def test_an_address_means_the_same_to_both(url: str, read: Callable[[str], Any]) -> None:
    assert asdict(read(url)) == NOTHING | MEANINGS[url]


@both
def test_an_address_does_not_show_its_passwords(read: Callable[[str], Any]) -> None:
    address = read("sentinel://ops:S3cret@a/0?master_name=m&sentinel_password=S3cret")

    assert (address.password, address.sentinel_password) == ("S3cret", "S3cret")
    assert "S3cret" not in repr(address)


@both
@pytest.mark.parametrize("url", REFUSALS)
def test_what_no_library_could_use_is_refused_by_name(url: str, read: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match=re.escape(REFUSALS[url])) as caught:
        read(url)

    assert "S3cret" not in str(caught.value)


@pytest.mark.parametrize("url", [url for url in REFUSALS if url])
def test_a_refusal_stops_the_start_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/billing")
    monkeypatch.setenv("REDIS_URL", url)

    with pytest.raises(settings.SettingsError) as caught:
        settings.load()

    assert str(caught.value).startswith("REDIS_URL: ")
    assert REFUSALS[url] in str(caught.value)


@pytest.mark.parametrize("url", REFUSALS)
def test_a_client_is_not_made_with_what_would_fail_after_the_copy(url: str) -> None:
    with pytest.raises(InvalidRequest, match="redis_url") as caught:
        CeleryBillingClient(redis_url=url)

    assert "S3cret" not in f"{caught.value} {caught.value.__context__}"
