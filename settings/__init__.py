"""The settings of a process, from its environment: one frozen object, read once.

Every variable that the product reads is here and nowhere else (docs/reference/settings.md). The
file is long because that list is one thing: a setting stands beside what checks its text.

A variable that is set always wins. For those that are not set, the development stack that `make
run` has up in this checkout fills in its own (`<BILLING_DATA_DIR>/stack.json`), so that the
`billing` command and a plain `celery -A worker.app` find it. The key and the address of a gateway
are filled in together or not at all, and only with the stack's own database: a payment at the
simulator must not become credit in another one. The development clock too belongs to that database.
"""

import base64
import binascii
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT_DIR = Path(__file__).resolve().parent.parent
STACK_FILE_NAME = "stack.json"
CLOCK_VARIABLE = "BILLING_DEVELOPMENT_CLOCK"

API_KEY_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The name of an API key; it stands in the audit log as `api-key:<name>`."""
API_KEY = re.compile("[A-Za-z0-9._~+/-]{16,500}")
"""The characters of an API key: those of a bearer token (RFC 6750, 2.1)."""
LIVE_KEYS = ("rzp_live_", "sk_live_", "rk_live_")
"""The beginnings of gateway keys that move real money."""

Port = Annotated[int, Field(ge=1, le=65535)]
Days = Annotated[int, Field(ge=0, le=36_500)]


class SettingsError(Exception):
    """The environment does not make sense; each line names a variable and what to do."""


class Settings(BaseSettings):
    """The environment, validated. Secrets never appear in its repr or in its errors."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=False, env_ignore_empty=True
    )

    database_url: str = Field(repr=False)
    """SQLAlchemy URL of PostgreSQL 15 or newer; a plain `postgresql://` becomes psycopg2's."""
    database_owner_url: str = Field(default="", repr=False)
    """The role that migrates; by default `database_url`."""
    database_retention_url: str = Field(default="", repr=False)
    """The role that blanks what is past its time; by default `database_owner_url`."""
    redis_url: str = Field(repr=False)
    """The broker: Redis 6.2 or newer."""

    billing_data_dir: Path = PROJECT_DIR / ".data"
    billing_development_clock: Path | None = None
    """The file that moves time (`clock/`); only the development stack sets it."""
    billing_timezone: str = "Asia/Kolkata"
    """Time zone of a new account, unless one is given (IANA name)."""
    billing_catalog: Path = PROJECT_DIR / "catalog.toml"
    log_level: str = "INFO"
    log_format: str = "auto"
    """`json`, `console`, or `auto`: console on a terminal, else JSON."""

    receiver_port: Port = 8000
    api_port: Port = 8001
    flower_port: Port = 5555
    simulator_port: Port = 8009

    lead_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Standard Webhooks secrets (`whsec_` + base64); a signature by any of them is valid."""
    api_keys: Annotated[dict[str, SecretStr], NoDecode] = {}
    """Name -> key with every scope, from comma-separated `name:key`; see
    `billing/access/keys.py`."""

    retention_bodies_days: Days = 180
    """Bodies of finished deliveries are blanked after so many days; zero: never. A payer's bank may
    dispute a payment for 120 days, and the gateway then waits for an answer for some weeks."""
    retention_dead_days: Days = 365
    """The same for dead deliveries, which can be replayed until then."""
    retention_answers_days: Days = 90
    """Answers stored under an Idempotency-Key; a repeat after them is refused."""

    razorpay_key_id: str = ""
    """`rzp_test_...` or `rzp_live_...`; empty: Razorpay is not set up here."""
    razorpay_key_secret: SecretStr = SecretStr("")
    razorpay_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """A signature by any of them is valid; keep an old one until its retries have ended (a day)."""
    razorpay_api_base: str = "https://api.razorpay.com"
    """Without `/v1`, which the SDK adds."""
    stripe_api_key: SecretStr = SecretStr("")
    """Empty: Stripe is not set up here."""
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    stripe_api_base: str = "https://api.stripe.com"

    @property
    def zone(self) -> ZoneInfo:
        """The zone of `billing_timezone`."""
        return ZoneInfo(self.billing_timezone)

    @field_validator("database_url", "database_owner_url", "database_retention_url")
    @classmethod
    def _psycopg2_url(cls, url: str) -> str:
        # SQLAlchemy 2.1 reads a plain `postgresql://` as psycopg 3, which is not installed.
        scheme, separator, rest = url.partition("://")
        if not url or scheme == "postgresql+psycopg2":
            return url
        if not separator or scheme not in {"postgres", "postgresql"}:
            raise ValueError("must start with postgresql://")
        return f"postgresql+psycopg2://{rest}"

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, url: str) -> str:
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return url

    @field_validator("database_url", "database_owner_url", "redis_url")
    @classmethod
    def _port_is_a_number(cls, url: str) -> str:
        try:
            _ = urlsplit(url).port
        except ValueError:
            raise ValueError("the port must be a number up to 65535") from None
        return url

    @field_validator("billing_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("is not an IANA time zone such as Asia/Kolkata") from error
        return name

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level.upper()

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        if name not in {"auto", "json", "console"}:
            raise ValueError("must be auto, json or console")
        return name

    @field_validator(
        "lead_webhook_secrets", "razorpay_webhook_secrets", "stripe_webhook_secrets", mode="before"
    )
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("lead_webhook_secrets")
    @classmethod
    def _standard_webhooks_secrets(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for position, secret in enumerate(secrets, start=1):
            text = secret.get_secret_value()
            try:
                key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
            except (binascii.Error, ValueError):
                key = b""
            # 24 to 64 random bytes: Standard Webhooks 1.0.0, "Signature scheme".
            if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
                raise ValueError(
                    f"secret {position} must be whsec_ followed by the base64 of 24 to 64 bytes"
                )
        return secrets

    @field_validator("api_keys", mode="before")
    @classmethod
    def _named_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys: dict[str, str] = {}
        entries = [part.strip() for part in value.split(",") if part.strip()]
        for position, entry in enumerate(entries, start=1):
            # Neither part is shown: if they are mixed up, the key would stand in a log.
            name, _, key = entry.partition(":")
            if not API_KEY_NAME.fullmatch(name) or not API_KEY.fullmatch(key):
                raise ValueError(
                    f"entry {position} must be name:key, the key at least 16 of the characters"
                    " A-Z a-z 0-9 . _ ~ + / -"
                )
            if name in keys or key in keys.values():
                raise ValueError(f"entry {position} repeats the name or the key of another")
            keys[name] = key
        return keys

    @field_validator("razorpay_api_base", "stripe_api_base")
    @classmethod
    def _http_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/")

    @field_validator("razorpay_key_id")
    @classmethod
    def _trimmed(cls, key: str) -> str:
        return key.strip()

    @field_validator("razorpay_key_secret", "stripe_api_key")
    @classmethod
    def _trimmed_secret(cls, key: SecretStr) -> SecretStr:
        # A space after a pasted key is the usual cause of "Authentication failed".
        return SecretStr(key.get_secret_value().strip())

    @model_validator(mode="after")
    def _whole_razorpay_key(self) -> Self:
        if bool(self.razorpay_key_id) != bool(self.razorpay_key_secret.get_secret_value()):
            raise ValueError("RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET: set both or neither")
        return self

    @model_validator(mode="after")
    def _dead_stay_as_long(self) -> Self:
        if 0 < self.retention_dead_days < (self.retention_bodies_days or self.retention_dead_days):
            raise ValueError(
                "RETENTION_DEAD_DAYS: must be at least RETENTION_BODIES_DAYS"
                f" ({self.retention_bodies_days}), or 0: a dead delivery is still to be replayed"
            )
        return self

    @model_validator(mode="after")
    def _real_time_with_real_money(self) -> Self:
        keys = (self.razorpay_key_id, self.stripe_api_key.get_secret_value())
        if self.billing_development_clock and any(key.startswith(LIVE_KEYS) for key in keys):
            raise ValueError(
                "BILLING_DEVELOPMENT_CLOCK: time cannot be moved while a gateway's key is live:"
                " unset it, or use a key of test mode (if it is not set, the running stack of"
                " `make run` has filled it in: unset the key, or set DATABASE_URL)"
            )
        return self

    @model_validator(mode="after")
    def _owner_defaults_to_application(self) -> Self:
        if not self.database_owner_url:
            object.__setattr__(self, "database_owner_url", self.database_url)
        if not self.database_retention_url:
            object.__setattr__(self, "database_retention_url", self.database_owner_url)
        return self


@lru_cache(maxsize=1)
def get() -> Settings:
    """Return the settings of this process, read at the first call.

    Raises `SettingsError` with one line for each variable that is missing or wrong.
    """
    return load()


def load() -> Settings:
    """Read the environment anew, and fill its gaps from the running development stack."""
    try:
        return Settings(**_filled_in_by_stack())
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def stack_file(data_dir: Path) -> Path:
    """Return the file in which the development stack of `data_dir` keeps its addresses while up."""
    return data_dir / STACK_FILE_NAME


class _DataDir(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")
    billing_data_dir: Path = PROJECT_DIR / ".data"


class _Fillable(BaseSettings):
    """The variables that a stack can fill in, as the environment has them; None: not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")
    database_url: str | None = None
    database_owner_url: str | None = None
    redis_url: str | None = None
    billing_development_clock: str | None = None
    lead_webhook_secrets: str | None = None
    api_keys: str | None = None
    razorpay_key_id: str | None = None
    razorpay_key_secret: str | None = None
    razorpay_webhook_secrets: str | None = None
    razorpay_api_base: str | None = None
    stripe_api_key: str | None = None
    stripe_webhook_secrets: str | None = None
    stripe_api_base: str | None = None


_KEYS_AND_ADDRESSES = (
    {"razorpay_key_id", "razorpay_key_secret", "razorpay_api_base"},
    {"stripe_api_key", "stripe_api_base"},
)
_WEBHOOK_SECRETS = ("razorpay_webhook_secrets", "stripe_webhook_secrets")


def _filled_in_by_stack() -> dict[str, Any]:
    """Return the values of the running stack that may stand in for unset variables."""
    try:
        stack = json.loads(stack_file(_DataDir().billing_data_dir).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(stack, dict):
        return {}
    given = _Fillable().model_dump()
    unset = {name for name, value in given.items() if value is None}
    if "database_url" not in unset:
        unset.discard("database_owner_url")  # the stack's owner does not own another database
        if _without_driver(given["database_url"]) != _without_driver(stack.get("database_url")):
            unset.discard("billing_development_clock")
    for together, webhook_secrets in zip(_KEYS_AND_ADDRESSES, _WEBHOOK_SECRETS, strict=True):
        if "database_url" not in unset or not together <= unset:
            unset -= {*together, webhook_secrets}
    return {name: stack[name] for name in unset if stack.get(name)}


def _without_driver(url: object) -> str:
    return str(url).partition("://")[2]


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        variable = str(problem["loc"][0]).upper() if problem["loc"] else "environment"
        if problem["type"] == "missing":
            lines.append(
                f"{variable} is not set, and no development stack is running in this checkout:"
                f" start one with `make run`, or set {variable}"
            )
        else:
            lines.append(f"{variable}: {problem['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
