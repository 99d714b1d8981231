"""`billing api-keys`: a key is shown once, and what is kept of it opens nothing."""

import re
from datetime import datetime

import pytest

import clock
from billing.access import keys as api_keys
from db.session import pooled_statement
from tests.billing.given import rows
from tests.cli.runner import open_clinic, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database")


def create(name: str = "marketplace", *arguments: str) -> str:
    key: str = run("api-keys", "create", name, *arguments, "--json").json["key"]
    return key


def caller(key: str) -> api_keys.Caller | None:
    with pooled_statement() as cursor:
        return api_keys.made_here(cursor, key)


def test_a_key_for_a_product_is_shown_once_and_opens() -> None:
    key = create("marketplace", "--product", "clinic_leads")

    assert re.fullmatch("bk_[A-Za-z0-9_-]{43}", key)
    found = caller(key)
    assert found is not None
    assert (found.name, found.product, found.account_id) == ("marketplace", "clinic_leads", None)
    assert found.scopes == api_keys.SCOPES.keys() - {"accounts:limits"}
    assert found.actor == "api-key:marketplace"
    for arguments in (["api-keys", "list"], ["api-keys", "list", "--json"], ["audit-log"]):
        assert key not in run(*arguments).out


def test_two_keys_are_never_alike() -> None:
    assert create("a", "--product", "clinic_leads") != create("b", "--product", "clinic_leads")


def test_a_key_for_an_account_has_the_scopes_that_were_asked_for() -> None:
    open_clinic()

    key = create("clinic", "--account", "clinic:42", "--scope", "leads:read")

    found = caller(key)
    assert found is not None
    assert found.product is None
    assert found.scopes == {"leads:read"}
    assert rows("SELECT ref FROM accounts WHERE id = :id", id=found.account_id) == [("clinic:42",)]


def test_a_person_reads_the_key_from_a_table() -> None:
    ran = run("api-keys", "create", "marketplace", "--product", "clinic_leads")

    assert re.search(r"bk_[A-Za-z0-9_-]{43}\b", ran.out)


def test_keys_are_listed_by_name_with_their_reach() -> None:
    open_clinic()
    create("b", "--account", "clinic:42", "--scope", "leads:read")
    create("a", "--product", "clinic_leads")

    first, second = run("api-keys", "list", "--json").json

    assert datetime.fromisoformat(first.pop("created_at")) <= clock.now()
    assert first == {
        "name": "a", "product": "clinic_leads", "account": None, "revoked_at": None,
        "scopes": sorted(set(api_keys.SCOPES) - {"accounts:limits"}),  # only who is named it
    }  # fmt: skip
    assert (second["name"], second["account"], second["scopes"]) == (
        "b",
        "clinic:42",
        ["leads:read"],
    )
    assert "leads:read, leads:write" in run("api-keys", "list").out


def test_no_keys_yet() -> None:
    assert run("api-keys", "list", "--json").json == []
    assert "No keys yet" in run_on_terminal("api-keys", "list").out


def test_a_revoked_key_opens_nothing_and_its_name_stays_taken() -> None:
    key = create("marketplace", "--product", "clinic_leads")

    revoked = run("api-keys", "revoke", "marketplace", "--json").json

    assert caller(key) is None
    assert run("api-keys", "list", "--json").json[0]["revoked_at"] == revoked["revoked_at"]
    # Again changes nothing
    assert run("api-keys", "revoke", "marketplace", "--json").json == revoked
    # And what the audit log says of the name goes on to mean this key
    again = run("api-keys", "create", "marketplace", "--product", "clinic_leads")
    assert "choose another name" in again.error


def test_making_and_revoking_are_on_the_audit_log() -> None:
    open_clinic()
    create("clinic", "--account", "clinic:42", "--scope", "leads:read")
    for _ in range(2):
        run("api-keys", "revoke", "clinic")

    created, revoked = rows(
        "SELECT action, actor, before, after FROM billing_audit_log"
        " WHERE subject = 'api-key:clinic' ORDER BY id"
    )
    assert created == (
        "api_key.created", "test", None, {"account": "clinic:42", "scopes": ["leads:read"]},
    )  # fmt: skip
    assert revoked[0] == "api_key.revoked"
    assert revoked[2] == {"revoked_at": None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", "--product", "leads"), "clinic_leads, pharmapulse_one, not 'leads'"),
        (("x", "--account", "clinic:unknown"), "unknown account 'clinic:unknown'"),
        (("x", "--product", "clinic_leads", "--scope", "all"), "scope must be one of leads:read"),
        (("a b", "--product", "clinic_leads"), "name must be at most 100 letters"),
        (("", "--product", "clinic_leads"), "name must be at most 100 letters"),
        (("x" * 101, "--product", "clinic_leads"), "name must be at most 100 letters"),
        (("a\n", "--product", "clinic_leads"), "name must be at most 100 letters"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], message: str) -> None:
    assert message in run("api-keys", "create", *arguments).error
    assert rows("SELECT count(*) FROM api_keys") == [(0,)]


@pytest.mark.parametrize("arguments", [(), ("--product", "clinic_leads", "--account", "clinic:42")])
def test_a_key_is_for_one_product_or_one_account(arguments: tuple[str, ...]) -> None:
    ran = run("api-keys", "create", "x", *arguments)

    assert ran.exit_code == 2
    assert "--product or --account" in ran.err


def test_the_name_of_a_configured_key_is_taken() -> None:
    ran = run(
        "api-keys", "create", "house", "--product", "clinic_leads",
        environment={"API_KEYS": "house:0123456789abcdef"},
    )  # fmt: skip

    assert "choose another name" in ran.error


def test_a_key_that_was_not_made_here_cannot_be_revoked_here() -> None:
    assert "there is no API key 'house'" in run("api-keys", "revoke", "house").error
