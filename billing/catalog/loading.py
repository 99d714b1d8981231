"""Reading of catalog.toml, once per process; its errors name the file, the key and what to do."""

import tomllib
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

import settings
from billing.catalog.document import Catalog


class CatalogError(Exception):
    """The catalog does not make sense; each line names the file, the key and the reason."""


@lru_cache(maxsize=1)
def get() -> Catalog:
    """Return the catalog of this process. Raises `CatalogError`."""
    return load(settings.get().billing_catalog)


def load(path: Path) -> Catalog:
    """Read and validate one catalog file. Raises `CatalogError` with a line for each problem."""
    try:
        return Catalog.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CatalogError(
            f"{path}: cannot be read: {error.strerror}: set BILLING_CATALOG to a readable file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: is not valid TOML: {error}") from error
    except ValidationError as error:
        lines = [_explain(path, problem) for problem in error.errors(include_url=False)]
        raise CatalogError("\n".join(lines)) from error


_WHAT_TO_DO = {
    "missing": "is missing: add it",
    "extra_forbidden": "is not a key of the catalog: remove it or correct its name",
}


def _explain(path: Path, problem: ErrorDetails) -> str:
    key = ".".join(map(str, problem["loc"]))
    reason = _WHAT_TO_DO.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    # What sections must agree on names its key itself.
    return f"{path}: {key}: {reason}" if key else f"{path}: {reason}"
