"""What the development stack that `make run` has up fills in for variables that are not set.

It wrote them to `<BILLING_DATA_DIR>/stack.json`, so that the `billing` command and a plain
`celery -A worker.app` find it. With another database than the stack's own only its Redis is filled
in: a payment at the simulator must not become credit elsewhere, its keys must open nothing else,
and the development clock moves that database's time alone. The key and the address of a gateway
are filled in together or not at all.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from settings import database_url

FILE_NAME = "stack.json"
DATABASE = "database_url"
DATABASES = frozenset({
    DATABASE, "database_owner_url", "database_doors_url", "database_retention_url",
})  # fmt: skip
"""The same database for each of its roles (`db/roles.py`)."""
ANYWHERE = frozenset({"redis_url"})
WITH_ITS_DATABASE = DATABASES | frozenset({
    "billing_development_clock", "lead_webhook_secrets", "api_keys",
    "razorpay_key_id", "razorpay_key_secret", "razorpay_webhook_secrets", "razorpay_api_base",
    "stripe_api_key", "stripe_webhook_secrets", "stripe_api_base",
    "web_secrets", "web_url", "smtp_url", "mail_from", "notice_allow_cidrs",
})  # fmt: skip
FILLABLE = ANYWHERE | WITH_ITS_DATABASE
"""The settings that it may fill in."""

_KEYS_AND_ADDRESSES = (
    {"razorpay_key_id", "razorpay_key_secret", "razorpay_api_base"},
    {"stripe_api_key", "stripe_api_base"},
)
_MAIL = {"smtp_url", "mail_from"}
_WEBHOOK_SECRETS = ("razorpay_webhook_secrets", "stripe_webhook_secrets")


def file_of(data_dir: Path) -> Path:
    """Return the file in which the development stack of `data_dir` keeps its addresses while up."""
    return data_dir / FILE_NAME


def fill_in(data_dir: Path, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the running stack that may stand in for those that are not `given`."""
    try:
        stack = json.loads(file_of(data_dir).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(stack, dict):
        return {}
    unset = {name for name in FILLABLE if not given.get(name)}
    if DATABASE not in unset:
        unset -= DATABASES  # who set the one address set the others, or has one role
        if not _are_the_same(given[DATABASE], stack.get(DATABASE)):
            unset &= ANYWHERE
    for together, webhook_secrets in zip(_KEYS_AND_ADDRESSES, _WEBHOOK_SECRETS, strict=True):
        if not together <= unset:
            unset -= {*together, webhook_secrets}
    if "smtp_url" not in unset:
        unset -= _MAIL  # no mail goes out through one's own server under the stack's name
    return {name: stack[name] for name in unset if stack.get(name)}


def _are_the_same(one: object, other: object) -> bool:
    try:
        return database_url.read(str(one)) == database_url.read(str(other))
    except ValueError:
        return False
