"""`/v1/accounts/{ref}/contacts`: addresses of an account, which a key cannot confirm."""

from typing import Any
from uuid import uuid4

import pytest

from billing import accounts
from billing.access import keys
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import rows

pytestmark = pytest.mark.usefixtures("house")

DESK = "desk@clinic.example"


@pytest.fixture
def clinic(number: int) -> str:
    ref = f"clinic:contacts-{number}"
    with transaction() as session:
        accounts.create(session, ref=ref, name="City Clinic", product="clinic_leads")
    return ref


def make_key(**reach: Any) -> str:
    with transaction(Role.OWNER) as session:
        return keys.create(session, name=f"contacts-{uuid4()}", **reach)


def add(api: ApiProcess, ref: str, key: str = HOUSE_KEY, **body: Any) -> Any:
    once = body.pop("once", None)
    return api.post(f"/v1/accounts/{ref}/contacts", key, {"address": DESK, **body}, once=once)


def test_an_address_of_a_key_is_unconfirmed_and_its_reader_is_asked_once(
    api: ApiProcess, clinic: str
) -> None:
    # When an address is added, and the request is repeated
    once = str(uuid4())
    added, again = (add(api, clinic, topics=["balance.*"], once=once) for _ in range(2))
    # Then there is one contact, unconfirmed, and one mail that asks to confirm it
    assert (added.status, again.status) == (201, 201)
    assert added.json == again.json
    assert (added.json["confirmed"], added.json["topics"]) == (False, ["balance.*"])
    id_ = added.json["contact_id"]
    assert rows("SELECT kind FROM notice_mails WHERE contact_id = :id", id=id_) == [
        ("confirm_address",)
    ]
    assert api.ask(f"/v1/accounts/{clinic}/contacts", HOUSE_KEY).json == {"contacts": [added.json]}
    # And the audit log names the key, and not the address
    [(actor, after)] = rows(
        "SELECT actor, after::text FROM billing_audit_log WHERE subject = :s", s=f"contact:{id_}"
    )
    assert actor == "api-key:house"
    assert DESK not in str(after)


def test_a_removed_contact_is_gone_with_its_address(api: ApiProcess, clinic: str) -> None:
    id_ = add(api, clinic).json["contact_id"]
    path = f"/v1/accounts/{clinic}/contacts/{id_}"
    # When it is removed by a key of another account, Then it stays
    with transaction() as session:
        accounts.create(session, ref=f"{clinic}-2", name="Other", product="clinic_leads")
    other = make_key(account=f"{clinic}-2")
    for asked in (path, f"/v1/accounts/{clinic}-2/contacts/{id_}"):
        assert api.ask(asked, other, method="DELETE").status == 404
    # When it is removed, Then it is gone, and only its own key can do it
    removed = api.ask(path, make_key(account=clinic), method="DELETE")
    assert (removed.status, removed.json) == (200, {"contact_id": id_, "removed": True})
    assert api.ask(f"/v1/accounts/{clinic}/contacts", HOUSE_KEY).json == {"contacts": []}
    assert rows("SELECT address FROM notice_contacts WHERE id = :id", id=id_) == [(None,)]
    again = api.ask(path, HOUSE_KEY, method="DELETE")
    assert problem(again)["type"] == "urn:problem-type:billing:unknown-contact"
    # And the address can be added anew
    assert add(api, clinic).status == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"address": "desk"}, "address"),
        ({"address": "desk@clinic.example\r\nBcc: x@y.example"}, "address"),
        ({"address": "a\x00@clinic.example"}, "address"),
        ({"address": ""}, "address"),
        ({"address": "d" * 250 + "@clinic.example"}, "address"),
        ({"address": 7}, "address"),
        ({"topics": []}, "topics"),
        ({"topics": ["balance.lwo"]}, "topics"),
        ({"topics": ["lead.charged"]}, "topics"),
        ({"topics": ["gateway.silent"]}, "topics"),
        ({"topics": ["*"] * 101}, "topics"),
        ({"topics": "*"}, "topics"),
        ({"confirmed": True}, "confirmed"),
    ],
)
def test_what_makes_no_sense_is_refused(
    api: ApiProcess, clinic: str, body: dict[str, Any], field: str
) -> None:
    answer = add(api, clinic, **body)
    assert answer.status == 422, answer.body
    assert [error["field"] for error in problem(answer)["errors"]] == [field]
    address = str(body.get("address", ""))
    assert len(address) < 4 or address not in api.log


def test_an_account_has_a_bounded_number_of_contacts(api: ApiProcess, clinic: str) -> None:
    for n in range(20):
        assert add(api, clinic, address=f"desk{n}@clinic.example").status == 201
    assert problem(add(api, clinic))["type"] == "urn:problem-type:billing:too-many-contacts"
    same = problem(add(api, clinic, address="DESK7@clinic.example"))
    assert (same["status"], same["type"]) == (409, "urn:problem-type:billing:contact-exists")
    assert "desk7" not in same["detail"].lower()


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/accounts/clinic:x/contacts", "contacts:read"),
        ("POST", "/v1/accounts/clinic:x/contacts", "contacts:write"),
        ("DELETE", "/v1/accounts/clinic:x/contacts/1", "contacts:write"),
    ],
)
def test_each_route_needs_its_scope_and_reach(
    api: ApiProcess, clinic: str, method: str, path: str, scope: str
) -> None:
    without = make_key(product="clinic_leads", scopes=sorted(set(keys.SCOPES) - {scope}))
    answer = api.ask(path, without, method=method)
    assert answer.status == 403
    assert scope in problem(answer)["detail"]
    pharmacies = make_key(product="pharmapulse_one")
    reached = path.replace("clinic:x", clinic)
    answer = (
        add(api, clinic, pharmacies)
        if method == "POST"
        else api.ask(reached, pharmacies, method=method)
    )
    assert problem(answer)["type"] == "urn:problem-type:billing:unknown-account"
