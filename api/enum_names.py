"""Names for the enumerations of the OpenAPI document, so that a generated client has `LeadState`.

Flask-OpenAPI repeats the values of a `Literal` at each field and each filter; a generator then
makes a type of each, with a name such as `AccountListsPaymentsStateType0`. Used by
`api/document.py`.
"""

from typing import Any

from api.problems import SCHEMAS

NAMED = {
    "AlertLevel": ("Account", "alert_level"),
    "BannerLevel": ("Banner", "level"),
    "DisputeState": ("Dispute", "state"),
    "Gateway": ("NewOrder", "gateway"),
    "HoldState": ("Hold", "state"),
    "LeadState": ("Lead", "state"),
    "OrderState": ("Order", "state"),
    "PaymentState": ("Payment", "state"),
    "PlanState": ("Entitlements", "service_renewal_status"),
    "RefundState": ("Refund", "state"),
}
"""Name -> the model and the field that has its values."""
FILTERS = {"RecordedLeadState": ("leads_of_account", "state")}
"""The same for enumerations that stand in a filter only: the operation and its parameter."""


def name_enums(document: dict[str, Any]) -> None:
    """Move each enumeration of `document` to a schema of its own, and refer to it."""
    schemas = document["components"]["schemas"]
    found = {
        name: schemas[model]["properties"][field]["enum"]
        for name, (model, field) in NAMED.items()
        if model in schemas
    }
    found |= {
        name: schema["enum"]
        for name, (operation_id, parameter) in FILTERS.items()
        for schema in _of_filter(document, operation_id, parameter)
    }
    names = {tuple(values): name for name, values in found.items()}
    _refer(document["paths"], names)
    _refer(schemas, names)
    for name, values in found.items():
        schemas[name] = {"title": name, "type": "string", "enum": values}


def _of_filter(document: dict[str, Any], operation_id: str, name: str) -> list[dict[str, Any]]:
    return [
        schema
        for operations in document["paths"].values()
        for operation in operations.values()
        if operation["operationId"] == operation_id
        for parameter in operation["parameters"]
        if parameter["name"] == name
        for schema in parameter["schema"]["anyOf"]
        if "enum" in schema
    ]


def _refer(part: Any, names: dict[tuple[str, ...], str]) -> None:
    if isinstance(part, list):
        for value in part:
            _refer(value, names)
    if not isinstance(part, dict):
        return
    if part.get("type") == "string" and tuple(part.get("enum", ())) in names:
        part["$ref"] = SCHEMAS + names[tuple(part.pop("enum"))]
        del part["type"]
        part.pop("title", None)
    for value in part.values():
        _refer(value, names)
