"""The typed notices are those of the catalogue: each topic of platforms, each field, each kind."""

import dataclasses
import pickle
from datetime import UTC, date, datetime
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

import billing_client
from billing.topics import CATALOGUE, Topic
from billing_client import OpenEnum
from billing_client.notice_types import TYPES, BalanceLow, Notice
from billing_client.notices import notice_of
from tests.billing_client.notice_world import TOPICS, example

OF_THE_ENVELOPE = {"id", "topic", "timestamp", "data"}
each_topic = pytest.mark.parametrize("topic", TOPICS, ids=str)


def read(topic: str, **changes: Any) -> Notice:
    data = {**example(topic), **changes}
    return notice_of("ntc_17", {"type": topic, "timestamp": "2026-11-30T12:00:00Z", "data": data})


def test_each_topic_of_platforms_has_a_class_and_no_other_has() -> None:
    assert sorted(TYPES) == sorted(TOPICS)
    assert len({*TYPES.values()}) == len(TYPES)
    # And none has the name of a result or an error
    assert {kind.__name__ for kind in TYPES.values()}.isdisjoint(billing_client.__all__)


@each_topic
def test_a_class_has_the_fields_of_its_topic_and_reads_its_example(topic: Topic) -> None:
    kind, properties = TYPES[topic], CATALOGUE[topic].schema["properties"]
    names = {one.name for one in dataclasses.fields(kind)} - OF_THE_ENVELOPE
    assert names == set(properties)
    assert not OF_THE_ENVELOPE & set(properties)
    notice = read(topic)
    assert type(notice) is kind
    assert notice.data == example(topic)
    assert {name: as_json(getattr(notice, name)) for name in names} == {
        name: text_of(kind, name, value) for name, value in notice.data.items()
    }


@each_topic
def test_a_field_may_be_none_if_and_only_if_the_schema_says_so(topic: Topic) -> None:
    hints = get_type_hints(TYPES[topic])
    for name, schema in CATALOGUE[topic].schema["properties"].items():
        may_be_null = "null" in schema["type"]
        takes_none = NoneType in get_args(hints[name])
        # `account` and `sequence` may be None in the base, which some topics use as it is
        assert takes_none >= may_be_null, name
        assert takes_none == may_be_null or name in {"account", "sequence"}, name


@each_topic
def test_a_kind_of_text_in_the_schema_is_a_type_of_the_class(topic: Topic) -> None:
    hints = get_type_hints(TYPES[topic])
    for name, schema in CATALOGUE[topic].schema["properties"].items():
        [hint] = [one for one in get_args(hints[name]) or (hints[name],) if one is not NoneType]
        kind = schema.get("format")
        if kind:
            assert hint is {"date-time": datetime, "date": date}[kind], name
        elif "boolean" in schema["type"]:
            assert hint is bool, name
        else:
            assert hint not in {datetime, date, bool}, name


def as_json(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, OpenEnum) else value


def text_of(kind: type[Notice], name: str, value: Any) -> Any:
    """An id that the client's methods take as a text is one here too."""
    return str(value) if get_type_hints(kind)[name] is str else value


@each_topic
def test_the_states_of_the_examples_have_names(topic: Topic) -> None:
    notice = read(topic)
    for one in dataclasses.fields(notice):
        value = getattr(notice, one.name)
        assert not isinstance(value, OpenEnum) or value.is_known, one.name


def test_what_a_newer_server_adds_is_kept_beside() -> None:
    notice = read("balance.low", colour="blue", level="strained")
    assert isinstance(notice, BalanceLow)
    assert (notice.data["colour"], notice.level) == ("blue", "strained")
    assert not notice.level.is_known


def test_a_topic_that_this_version_does_not_know_is_a_plain_notice() -> None:
    content = {
        "type": "comet.seen",
        "timestamp": "2026-11-30T12:00:00+05:30",
        "data": {"account": "clinic:42", "sequence": 3, "tail": [1]},
    }
    notice = notice_of("ntc_9", content)
    assert type(notice) is Notice
    assert (notice.topic, notice.account, notice.sequence) == ("comet.seen", "clinic:42", 3)
    assert notice.data["tail"] == [1]
    assert notice.timestamp == datetime(2026, 11, 30, 6, 30, tzinfo=UTC)


@each_topic
def test_a_notice_is_frozen_can_be_compared_and_comes_whole_through_a_pickle(topic: Topic) -> None:
    notice = read(topic)
    twin = pickle.loads(pickle.dumps(notice))  # noqa: S301 - of our own making
    assert (twin, repr(twin), twin.data, hash(twin)) == (
        notice, repr(notice), notice.data, hash(notice),
    )  # fmt: skip
    with pytest.raises(dataclasses.FrozenInstanceError):
        notice.id = "ntc_18"  # type: ignore[misc]
    assert not hasattr(notice, "__dict__")
