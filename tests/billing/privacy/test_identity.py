"""By what a person is known, and which values name that person."""

import json

import pytest

from billing.privacy.errors import InvalidIdentity
from billing.privacy.identity import Identity, Matcher

ASHA = Identity(
    emails=("asha.rao@example.in",),
    phones=("+91 98765-43210",),
    vpas=("asha@okbank",),
    leads=("L-17",),
    accounts=("clinic:42",),
)


@pytest.mark.parametrize(
    "value",
    [
        "asha.rao@example.in",
        "Asha.Rao@Example.IN wrote to us.",
        "mailto:asha.rao@example.in?subject=x",
        b'{"contact": "+919876543210"}',
        b'{"contact": "\\u002b91 98765 43210"}',
        '{"contact": 9876543210}',
        {"phone": ["09876543210"]},
        {"9876543210": "her number"},
        "call (98765) 43210 after six",
        b'{"vpa": "ASHA@okbank"}',
        b'{"vpa": "ASHA@okbank", "vpa": "another@okbank"}',
        b'{"data": {"lead_id": "L-17"}}',
        "POST /v1/accounts/clinic%3A42/disputes",
        "about L-17: a wrong number",
        b"\xff\xfe not JSON, asha@okbank",
        '{"cut off": "asha@okbank',
        "[" * 100_000 + " asha@okbank",
    ],
)
def test_a_value_that_names_the_person_is_found_however_it_is_written(value: object) -> None:
    assert Matcher(ASHA).names(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "natasha.rao@example.in",
        "asha.rao@example.in.example.com",
        "asha.rao@example.info",
        "x.asha@okbank",
        "asha@okbanking",
        "98765432101",
        '{"id": 129876543210123}',
        "1798765432100",
        "L-170",
        "XL-17",
        "L-17-b",
        "clinic:421",
        b'{"data": {"lead_id": "l-17"}}',
    ],
)
def test_a_value_about_somebody_else_is_not(value: object) -> None:
    assert not Matcher(ASHA).names(value)


def test_ids_of_payments_and_orders_name_the_person_too() -> None:
    body = json.dumps({"payload": {"refund": {"entity": {"payment_id": "pay_1"}}}})

    assert Matcher(Identity(accounts=("clinic:42",)), more_ids=("pay_1",)).names(body)
    assert not Matcher(Identity(accounts=("clinic:42",))).names(body)


@pytest.mark.parametrize(
    "identity",
    [
        Identity(),
        Identity(emails=("asha",)),
        Identity(vpas=("asha @okbank",)),
        Identity(phones=("12345",)),
        Identity(phones=("call 9876543210",)),
        Identity(leads=("",)),
        Identity(accounts=(" ",)),
    ],
)
def test_what_identifies_nobody_is_refused(identity: Identity) -> None:
    with pytest.raises(InvalidIdentity):
        Matcher(identity)
