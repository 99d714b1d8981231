"""The caller of a request: its bearer key (RFC 6750), the scopes and the reach of that key.

`admit` runs before each request. A route names the scope that it needs (`api/routes.py`), and gets
its caller from `caller()` and an account from `account_in_reach`.
"""

import re
from typing import cast

from flask import current_app, g, request
from sqlalchemy.orm import Session

from api.problems import Refusal, unknown
from billing import accounts
from billing.access import keys
from billing.access.keys import Caller
from db.models import Account
from db.session import pooled_statement

SCHEME = "api_key"
"""Its name in the OpenAPI document."""
SCOPE = "needed_scope"
"""The attribute of a view function that names the scope it needs."""

_BEARER = re.compile("bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


def admit() -> None:
    """Find the caller of a route that needs a scope; refuse with 401 or 403."""
    view = current_app.view_functions.get(request.endpoint or "")
    scope: str | None = getattr(view, SCOPE, None)
    if scope is None:  # an open route, or no route
        return
    g.caller = _find(request.headers.get("Authorization"))
    require_scope(scope)


def require_scope(scope: str, what: str = "") -> None:
    """Raise `Refusal` 403 unless the caller's key has the scope; `what` says what needs it."""
    if scope not in caller().scopes:
        raise Refusal(
            403,
            f"this API key lacks the scope {scope}{what}",
            kind="missing-scope",
            headers={
                "WWW-Authenticate": f'Bearer realm="billing", error="insufficient_scope",'
                f' scope="{scope}"'
            },
        )


def caller() -> Caller:
    """Return who makes the request that is being answered."""
    return cast(Caller, g.caller)


def account_in_reach(session: Session, ref: str) -> Account:
    """Return an account that the caller's key sees.

    Raises `Refusal` 404 for any other, in the same words whether it exists or not.
    """
    asking = caller()
    found = accounts.find_in_reach(
        session, ref, product=asking.product, account_id=asking.account_id
    )
    if found is None:
        raise unknown("account", by="reference")
    note_account(found.ref)
    return found


def note_account(ref: str) -> None:
    """Have the log of requests (`api/request_log.py`) say that this one is about an account."""
    g.account_ref = ref


def _find(header: str | None) -> Caller:
    if not header:
        raise _unauthorized("send an API key as `Authorization: Bearer KEY`", "")
    match = _BEARER.fullmatch(header)
    found = _by_key(match[1]) if match else None
    if found is None:
        raise _unauthorized("this API key is not valid", ', error="invalid_token"')
    return found


def _by_key(key: str) -> Caller | None:
    found = keys.configured(key)
    if found is None and keys.could_be_made_here(key):
        with pooled_statement() as cursor:
            found = keys.made_here(cursor, key)
    return found


def _unauthorized(detail: str, error: str) -> Refusal:
    return Refusal(401, detail, headers={"WWW-Authenticate": f'Bearer realm="billing"{error}'})
