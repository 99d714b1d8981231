"""Which topics a list of patterns selects: names, `balance.*`, or `*` for all.

The patterns of endpoints, of contacts and of `GET /v1/events?type=` are read here.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from billing.topics.catalogue import CATALOGUE
from billing.topics.names import Topic
from errors import PermanentError

ALL = "*"
"""The pattern of every topic that is not of high volume."""


class UnknownTopic(PermanentError):
    """No topic that can be asked for has this name, or begins so; the message names the nearest."""

    def __init__(self, pattern: str, known: Sequence[str]) -> None:
        self.pattern = pattern
        everything = [*CATALOGUE, *_prefixes(CATALOGUE)]
        if pattern in everything:  # apart from those that can be asked for
            self.problem = (
                f"{pattern} cannot be chosen here: there are {', '.join(_prefixes(known))}"
            )
            super().__init__(self.problem)
            return
        near = get_close_matches(pattern, [*known, *_prefixes(known)], n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_prefixes(known))}"
        self.problem = f"no topic is called {pattern!r}: {hint}"
        super().__init__(self.problem, logged=f"no topic has this name: {hint}")


def selects(patterns: Iterable[str], topic: str) -> bool:
    """Return whether a pattern selects the topic: `*` and `lead.*` leave high-volume topics out."""
    prefix = family(topic)
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


def family(topic: str) -> str:
    """Return the pattern of the topics that begin as this one does: `balance.*`."""
    return topic.partition(".")[0] + ".*"


def _prefixes(known: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(family(topic) for topic in known))
