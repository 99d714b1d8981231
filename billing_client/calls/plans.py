"""Plans: what an account may do now, and what comes next."""

from billing_client.call import Call, get, reader_of
from billing_client.checks import checked_account
from billing_client.results import AccountStatus, Entitlements


def entitlements(account: str) -> Call[Entitlements]:
    """Return what an account may do now, why, and until when."""
    return get(
        "/v1/accounts/{ref}/entitlements",
        reader_of(Entitlements),
        ref=checked_account(account),
    )


def account_status(account: str) -> Call[AccountStatus]:
    """Return an account's plan, credit, renewal and next monthly grant."""
    return get("/v1/accounts/{ref}/status", reader_of(AccountStatus), ref=checked_account(account))
