"""What makes a topic happen."""

from collections.abc import Callable
from dataclasses import dataclass

from billing.topics import Topic
from cli.trigger.scene import Scene


@dataclass(frozen=True, slots=True)
class Cause:
    """A topic, what is done for it in one sentence, and what does it."""

    topic: Topic
    does: str
    happen: Callable[[Scene], None]
