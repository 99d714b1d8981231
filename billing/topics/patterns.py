"""Which topics a list of patterns selects: names, `balance.*`, or `*` for all.

The patterns of endpoints, of contacts and of `GET /v1/events?type=` are read here.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from billing.topics.catalogue import CATALOGUE
from billing.topics.names import Topic
from errors import PermanentError

ALL = "*"
_ANY = ".*"


class UnknownTopic(PermanentError):
    """No topic has this name, or begins so; the message names the nearest."""

    def __init__(self, pattern: str, known: Sequence[str]) -> None:
        self.pattern = pattern
        near = get_close_matches(pattern, [*known, *_prefixes(known)], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_prefixes(known))}"
        super().__init__(
            f"no topic is called {pattern!r}: {hint}", logged=f"no topic has this name: {hint}"
        )


def selects(patterns: Iterable[str], topic: str) -> bool:
    """Return whether a pattern selects the topic: `*` and `lead.*` leave high-volume topics out."""
    prefix = topic.partition(".")[0] + _ANY
    named, wide = False, False
    for pattern in patterns:
        named = named or pattern == topic
        wide = wide or pattern in {ALL, prefix}
    return named or (wide and not CATALOGUE[Topic(topic)].high_volume)


def selected(patterns: Sequence[str], among: Iterable[Topic] = CATALOGUE) -> tuple[Topic, ...]:
    """Return those topics of `among` that the patterns select."""
    return tuple(topic for topic in among if selects(patterns, topic))


def check_patterns(patterns: Iterable[str], among: Iterable[str] = CATALOGUE) -> None:
    """Raise `UnknownTopic` for the first pattern that no topic of `among` can ever fit."""
    known = [str(topic) for topic in among]
    allowed = {ALL, *known, *_prefixes(known)}
    for pattern in patterns:
        if pattern not in allowed:
            raise UnknownTopic(pattern, known)


def _prefixes(known: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(topic.partition(".")[0] + _ANY for topic in known))
