"""States: the known ones have names, a newer server's are texts that break nothing."""

import copy
import json
import pickle
from typing import Any, get_args

import pytest

import billing_client
from api.app import create_app
from billing import catalog
from billing.catalog import PlanState as PlanStateOfServer
from billing.disputes import DisputeState as DisputeStateOfServer
from billing.ledger import Kind
from billing.payments import order_queries, queries
from billing_client import (
    DisputeState,
    DisputeType,
    LeadState,
    OpenEnum,
    OrderState,
    PaymentState,
    PlanState,
    TransactionKind,
)


def test_a_known_value_is_its_member_and_its_text() -> None:
    state = LeadState("charged")
    assert state == "charged"
    assert state is LeadState.CHARGED
    assert f"{state} {state!s}" == "charged charged"
    assert repr(state) == "<LeadState.CHARGED: 'charged'>"
    assert state.is_known
    assert {"charged": 1}[state] == 1
    assert json.dumps({"state": state}) == '{"state": "charged"}'


def test_an_unknown_value_is_its_text_too() -> None:
    state = LeadState("frozen")
    assert isinstance(state, LeadState)
    assert (state, state.value, f"{state}") == ("frozen", "frozen", "frozen")
    assert state == LeadState("frozen") != LeadState.CHARGED
    assert repr(state) == "<LeadState: 'frozen', unknown to this version>"
    assert not state.is_known
    assert len({state, "frozen", LeadState("frozen")}) == 1
    assert json.dumps(state) == '"frozen"'
    # And it does not become a member by being seen
    assert "frozen" not in [one.value for one in LeadState]


@pytest.mark.parametrize("value", ["charged", "frozen", "", "CHARGED"])
def test_both_come_whole_through_a_pickle_and_a_copy(value: str) -> None:
    state = LeadState(value)
    for twin in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):  # noqa: S301 - ours
        assert (type(twin), twin, repr(twin)) == (LeadState, state, repr(state))


@pytest.mark.parametrize("value", [None, 5, b"charged", ["charged"]])
def test_what_is_no_text_is_no_state(value: object) -> None:
    with pytest.raises(ValueError, match="is not a valid LeadState"):
        LeadState(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "served"),
    [
        (OrderState, order_queries.STATES),
        (PaymentState, queries.STATES),
        (DisputeState, get_args(DisputeStateOfServer)),
        (PlanState, get_args(PlanStateOfServer)),
        (TransactionKind, [kind.value for kind in Kind]),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_the_client_knows_what_its_server_says(known: type[OpenEnum], served: list[str]) -> None:
    assert sorted(known) == sorted(served)


OTHER_NAMES = {
    "Kind": TransactionKind,
    "RecordedLeadState": LeadState,
    "RenewalStatus": PlanState,
}
"""Enumeration of the document -> the client's, if it is not of the same name."""


def test_the_client_has_a_name_for_each_value_of_the_document() -> None:
    document: Any = create_app().test_client().get("/openapi.json").get_json(force=True)
    enums = {n: s["enum"] for n, s in document["components"]["schemas"].items() if "enum" in s}
    assert len(enums) > len(OTHER_NAMES)
    for name, values in enums.items():
        known = OTHER_NAMES.get(name) or getattr(billing_client, name)
        assert set(values) <= set(known), name


def test_the_client_has_a_name_for_each_type_of_dispute() -> None:
    assert list(DisputeType) == list(catalog.get().disputes.types)
