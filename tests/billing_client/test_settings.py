"""`BillingSettings`: one address or two, the environment, and no secret shown."""

import re
from typing import Any

import pytest

from billing_client import BillingClient, BillingSettings, InvalidRequest
from tests.billing_client.scripted_server import Reply, ScriptedServer
from tests.conftest import LEAD_SECRET

LEAD: dict[str, Any] = {
    "lead_id": "L-1", "account": "clinic:42", "package_price_paise": 600_000,
}  # fmt: skip


def test_one_address_serves_both_doors_and_each_may_have_its_own() -> None:
    one = BillingSettings(base_url="https://billing.example/b/")
    assert (one.api_url, one.receiver_url) == ("https://billing.example/b",) * 2
    two = BillingSettings(base_url="https://b.example", receiver_url="https://hooks.example")
    assert (two.api_url, two.receiver_url) == ("https://b.example", "https://hooks.example")


def test_a_client_asks_each_door_where_the_settings_say() -> None:
    with ScriptedServer(Reply(202)) as hooks, ScriptedServer(Reply(500)) as api:
        apart = BillingSettings(
            api_url=f"{api.url}/a", receiver_url=f"{hooks.url}/h", api_key="k-1",
            webhook_secret=LEAD_SECRET, retries=0,
        )  # fmt: skip
        with BillingClient(apart) as client:
            client.charge_lead(**LEAD)
            with pytest.raises(Exception, match="500"):
                client.lead_status("L-1")
    assert [asked.path for asked in hooks.asked] == ["/h/webhooks/leads"]
    assert [asked.path for asked in api.asked] == ["/a/v1/leads/L-1"]


def test_the_environment_says_all_that_differs_between_installations() -> None:
    found = BillingSettings.from_environment(
        {
            "BILLING_URL": "https://billing.example", "BILLING_API_URL": "",
            "BILLING_RECEIVER_URL": "https://hooks.example", "BILLING_API_KEY": "bk_x",
            "BILLING_WEBHOOK_SECRET": LEAD_SECRET,
        }
    )  # fmt: skip
    assert found == BillingSettings(
        base_url="https://billing.example", receiver_url="https://hooks.example",
        api_key="bk_x", webhook_secret=LEAD_SECRET,
    )  # fmt: skip


def test_the_real_environment_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_URL", "https://late.example")
    assert BillingSettings.from_environment().api_url == "https://late.example"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "set BILLING_URL, or BILLING_API_URL and BILLING_RECEIVER_URL"),
        ({"BILLING_URL": "billing.example"}, "BILLING_URL: must be an http:// or https:// URL"),
        ({"BILLING_API_URL": "ftp://x"}, "BILLING_API_URL: must be an http"),
        ({"BILLING_URL": "http://x", "BILLING_API_KEY": "S3cret key"}, "BILLING_API_KEY: must"),
        (
            {"BILLING_URL": "http://x", "BILLING_WEBHOOK_SECRET": "S3cret"},
            "BILLING_WEBHOOK_SECRET: must be whsec_",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_wrong_variable_is_named_without_its_value(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)) as caught:
        BillingSettings.from_environment(environment)
    assert "S3cret" not in str(caught.value)


def test_it_shows_no_secret() -> None:
    shown = repr(
        BillingSettings(
            base_url="https://me:S3cret@billing.example/b", api_key="bk_S3cret",
            webhook_secret=LEAD_SECRET,
        )
    )  # fmt: skip
    assert shown == (
        "BillingSettings(base_url='https://billing.example/b', api_url='https://billing.example/b',"
        " receiver_url='https://billing.example/b', api_key=..., webhook_secret=...,"
        " timeout_seconds=10, retries=5)"
    )


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        BillingSettings(base_url="http://x").api_key = "k"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": {"base_url": "http://x"}}, "settings: must be BillingSettings"),
        (
            {"settings": BillingSettings(base_url="http://x"), "api_key": "k", "retries": 1},
            "api_key, retries: give settings, or keywords, not both",
        ),
    ],
    ids=["no settings", "both"],
)
def test_a_client_takes_settings_or_keywords(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        BillingClient(**options)
