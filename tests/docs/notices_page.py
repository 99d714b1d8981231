"""The topics of docs/reference/notices.md; `python -m tests.docs.notices_page` writes them."""

import json
import re
from collections.abc import Iterator
from typing import Any

from billing.topics import CATALOGUE, Audience, Topic
from tests.docs.pages import DOCS

PAGE = DOCS / "reference" / "notices.md"
_MADE = re.compile(r"(?<=do not change it here -->\n).*?(?=<!-- end -->)", re.S)
_WHO = {
    Audience.PLATFORM: "platforms",
    Audience.CUSTOMER: "customers, by mail",
    Audience.OPERATOR: "operators",
}
_OF_ALL = ("account", "sequence")


def page_with(topics: str) -> str:
    """Return the page with these lines as its topics."""
    return _MADE.sub(lambda _: topics, PAGE.read_text())


def made() -> str:
    """Return what the page says of the topics."""
    return "\n".join([*_table(), "", *_families()]) + "\n"


def _table() -> Iterator[str]:
    yield "| topic | when | for |"
    yield "|---|---|---|"
    for topic, entry in CATALOGUE.items():
        who = "; ".join(_WHO[one] for one in Audience if one in entry.audiences)
        volume = ". **High volume**" if entry.high_volume else ""
        yield f"| [`{topic}`](#{topic.replace('.', '')}) | {entry.description} | {who}{volume} |"


def _families() -> Iterator[str]:
    shown: dict[str, Topic] = {}
    for topic, entry in CATALOGUE.items():
        yield f"### {topic}\n"
        yield f"{entry.description} {entry.why}\n"
        fields = list(_fields(entry.schema))
        same = shown.setdefault("\n".join(fields), topic)
        if same is not topic:
            yield f"Fields: those of [`{same}`](#{same.replace('.', '')}).\n"
        else:
            yield "| field | type | meaning |"
            yield "|---|---|---|"
            yield from fields
            yield ""
        yield f"```json\n{json.dumps(entry.example)}\n```\n"


def _fields(schema: Any) -> Iterator[str]:
    for name, field in schema["properties"].items():
        if name in _OF_ALL and field == _USUAL[name]:
            continue
        yield f"| `{name}` | {_type(field)} | {field['description']} |"


_USUAL: dict[str, Any] = {
    name: CATALOGUE[Topic.BALANCE_LOW].schema["properties"][name] for name in _OF_ALL
}


def _type(field: Any) -> str:
    kinds = [field["type"]] if isinstance(field["type"], str) else field["type"]
    words = {"date": "day", "date-time": "time"}
    return " or ".join(
        words.get(field.get("format"), kind) if kind == "string" else kind for kind in kinds
    )


if __name__ == "__main__":
    PAGE.write_text(page_with(made()))
