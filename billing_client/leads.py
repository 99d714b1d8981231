"""The fields of a lead, checked by the rules of the server before anything is sent."""

from collections.abc import Mapping
from typing import Any

from billing_client.checks import checked_account, checked_paise, checked_text, checked_time
from billing_client.errors import InvalidRequest

_FIELDS = ("lead_id", "account", "package_price_paise", "source", "occurred_at")
_REQUIRED = _FIELDS[:3]


def checked(lead: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a lead as they are sent, without absent ones.

    Raises `InvalidRequest`, which names the field and not its value.
    """
    if not isinstance(lead, Mapping):
        raise InvalidRequest(f"a lead must be a mapping of its fields, not {type(lead).__name__}")
    if unknown := lead.keys() - set(_FIELDS):
        raise InvalidRequest(f"{len(unknown)} unknown fields: a lead has {', '.join(_FIELDS)}")
    if missing := [name for name in _REQUIRED if name not in lead]:
        raise InvalidRequest(f"{', '.join(missing)}: missing")
    fields: dict[str, Any] = {
        "lead_id": checked_text("lead_id", lead["lead_id"]),
        "account": checked_account(lead["account"]),
        "package_price_paise": checked_paise("package_price_paise", lead["package_price_paise"]),
    }
    if lead.get("source") is not None:
        fields["source"] = checked_text("source", lead["source"])
    if lead.get("occurred_at") is not None:
        fields["occurred_at"] = checked_time("occurred_at", lead["occurred_at"])
    return fields
