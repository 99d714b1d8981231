"""Who is let in, how far a key sees, and the answer to everybody else."""

import pytest

from billing.access import keys as api_keys
from billing.leads import LeadRequest, charge_leads
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY, OTHER_HOUSE_KEY
from tests.billing.given import open_account, rows
from tests.server_process import Answer

pytestmark = pytest.mark.usefixtures("house")

PATH = "/v1/leads/L-nobody-knows"
FORGED = api_keys.PREFIX + "A" * 43


def make_key(name: str, **more: object) -> str:
    with transaction(Role.OWNER) as session:
        return api_keys.create(session, name=name, **more)  # type: ignore[arg-type]


def charged_lead(number: int, *, side: str = "a") -> tuple[str, str]:
    """A charged lead of an account of its own: (account, lead)."""
    account = open_account(f"clinic:{side}-{number}", credits_=1_000)
    lead_id = f"L-{side}-{number}"
    with transaction() as session:
        request = LeadRequest(lead_id=lead_id, account=account, package_price_paise=600_000)
        charge_leads(session, [request], actor="test")
    return account, lead_id


def assert_unauthorized(answer: Answer) -> None:
    assert problem(answer)["status"] == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="billing"')


@pytest.mark.parametrize("key", [HOUSE_KEY, OTHER_HOUSE_KEY])
def test_each_key_of_the_environment_is_let_in(api: ApiProcess, key: str) -> None:
    assert api.ask(PATH, key).status == 404


def test_without_a_key_the_way_is_told(api: ApiProcess) -> None:
    answer = api.ask(PATH)

    assert_unauthorized(answer)
    assert answer.headers["www-authenticate"] == 'Bearer realm="billing"'  # RFC 6750, 3.1
    assert "Authorization: Bearer" in problem(answer)["detail"]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="no key"),
        pytest.param("Bearer x", id="too short"),
        pytest.param(HOUSE_KEY, id="no scheme"),
        pytest.param(f"Basic {HOUSE_KEY}", id="another scheme"),
        pytest.param(f"Bearer {HOUSE_KEY[:-1]}", id="cut"),
        pytest.param(f"Bearer {HOUSE_KEY}x", id="more behind"),
        pytest.param(f"Bearer {HOUSE_KEY.upper()}", id="capitals"),
        pytest.param(f"Bearer {HOUSE_KEY} {HOUSE_KEY}", id="two keys"),
        pytest.param(f"Bearer {HOUSE_KEY},Bearer {HOUSE_KEY}", id="two keys, with a comma"),
        pytest.param(f"Bearer house:{HOUSE_KEY}", id="with its name"),
        pytest.param("Bearer k\xe9y-of-nobody-at-all", id="non-ASCII"),
        pytest.param("Bearer \xff\xfe", id="not UTF-8"),
        pytest.param(f"Bearer {'x' * 5_000}", id="5,000 characters"),
        pytest.param(f"Bearer {FORGED}", id="of the right form"),
        pytest.param("Bearer ' OR 1=1 --", id="SQL"),
    ],
)
def test_whatever_is_no_key_is_refused(api: ApiProcess, header: str) -> None:
    answer = api.request("GET", PATH, headers=[("authorization", header)])

    assert_unauthorized(answer)
    assert HOUSE_KEY not in answer.body.decode()


def test_the_scheme_may_be_written_in_any_case(api: ApiProcess) -> None:
    for scheme in ("bearer", "BEARER"):
        header = ("authorization", f"{scheme} {HOUSE_KEY}")
        assert api.request("GET", PATH, headers=[header]).status == 404


@pytest.mark.parametrize("other", [HOUSE_KEY, OTHER_HOUSE_KEY, FORGED])
def test_a_header_that_comes_twice_is_refused(api: ApiProcess, other: str) -> None:
    twice = [("authorization", f"Bearer {HOUSE_KEY}"), ("authorization", f"Bearer {other}")]

    for headers in (twice, reversed(twice)):
        refused = problem(api.request("GET", PATH, headers=headers))
        assert (refused["status"], refused["detail"]) == (
            400, "the header authorization was sent twice: send it once",
        )  # fmt: skip


def test_a_key_for_one_account_sees_that_account_alone(api: ApiProcess, number: int) -> None:
    # Given two clinics, each with a lead, and a key of the first
    account, lead = charged_lead(number)
    _, others_lead = charged_lead(number, side="b")
    key = make_key(f"clinic-{number}", account=account)
    # Then it sees its lead
    assert api.ask(f"/v1/leads/{lead}", key).json["account"] == account
    # And the other one's no more than one that never was
    hidden, unknown = api.ask(f"/v1/leads/{others_lead}", key), api.ask(PATH, key)
    assert (hidden.status, hidden.but_for_its_id) == (unknown.status, unknown.but_for_its_id)
    assert problem(hidden)["type"] == "urn:problem-type:billing:unknown-lead"
    assert hidden.headers.keys() == unknown.headers.keys()


def test_a_key_for_a_product_sees_all_of_it_and_nothing_else(api: ApiProcess, number: int) -> None:
    account, lead = charged_lead(number)
    leads_key = make_key(f"marketplace-{number}", product="clinic_leads")
    pharma_key = make_key(f"pharma-{number}", product="pharmapulse_one")

    assert api.ask(f"/v1/leads/{lead}", leads_key).json["account"] == account
    assert api.ask(f"/v1/leads/{lead}", pharma_key).status == 404


def test_a_revoked_key_opens_nothing_from_the_next_request_on(api: ApiProcess, number: int) -> None:
    _, lead = charged_lead(number)
    key = make_key(f"revoked-{number}", product="clinic_leads")
    assert api.ask(f"/v1/leads/{lead}", key).status == 200

    with transaction(Role.OWNER) as session:
        api_keys.revoke(session, f"revoked-{number}")

    assert_unauthorized(api.ask(f"/v1/leads/{lead}", key))


def test_a_missing_scope_is_named(api: ApiProcess, number: int) -> None:
    _, lead = charged_lead(number)
    key = make_key(f"writer-{number}", product="clinic_leads", scopes=["leads:write"])

    answer = api.ask(f"/v1/leads/{lead}", key)

    assert answer.status == 403
    assert "leads:read" in problem(answer)["detail"]
    assert problem(answer)["type"] == "urn:problem-type:billing:missing-scope"
    assert 'scope="leads:read"' in answer.headers["www-authenticate"]
    # And it tells nothing of the lead
    assert api.ask(PATH, key).but_for_its_id == answer.but_for_its_id


def test_the_table_holds_no_key(api: ApiProcess, number: int) -> None:
    key = make_key(f"kept-{number}", product="clinic_leads")

    [row] = rows("SELECT api_keys::text FROM api_keys WHERE name = :name", name=f"kept-{number}")

    assert key not in str(row)
    assert key.encode().hex() not in str(row)
