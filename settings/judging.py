"""Settings that are judged one by one: a wrong one stops who reads it, and nobody else.

A command that shows a balance has no need of webhook secrets, and must not be stopped by them. So a
value that is missing or wrong is no value: to read it raises. Who needs every value, such as a
server at its start, requires all. The base class of `Settings`, used by nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings

from settings.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Values each of which makes sense, and which do not go together."""

    between: tuple[str, ...]
    """The fields that were compared; none of them has a value then."""
    line: str
    """What is wrong, beginning with the variable, and what to do; without any secret."""
    also_stops: tuple[str, ...] = ()
    """More fields that have no value then: nobody may go on with them."""

    def note(self, wrong: dict[str, str]) -> None:
        """Add it to what is wrong, unless a value was compared that is none."""
        if wrong.keys().isdisjoint(self.between):
            for name in (*self.between, *self.also_stops):
                wrong.setdefault(name, self.line)


class Judged(BaseSettings):
    """The fields of a subclass; to read one that is wrong raises `SettingsError`."""

    _wrong: dict[str, str] = PrivateAttr(default_factory=dict)
    """Field -> what is wrong with it, one line."""

    @classmethod
    def judged(
        cls, given: Mapping[str, Any], *, required: Mapping[str, str], defaults: Mapping[str, str]
    ) -> Self:
        """Return the settings of the environment, over which `given` wins. Raises nothing.

        `required` has a line for each field that must be set. `defaults` names, for a field that is
        not set, the one whose value it then has; what is wrong with that is wrong with both.
        """
        try:
            wrong: dict[str, str] = {}
            found = cls(**given)
        except ValidationError as error:
            wrong = _explain(error)
            found = cls(**{**given, **dict.fromkeys(wrong, "")})  # as if those were not set
        for name, line in required.items():
            if not getattr(found, name):
                wrong.setdefault(name, line)
        for contradiction in found.contradictions():
            contradiction.note(wrong)
        found._fill_in(defaults, wrong)
        for name in wrong:
            del found.__dict__[name]
        found._wrong = wrong
        return found

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield which values do not go together; for a subclass to say."""
        yield from ()

    def _fill_in(self, defaults: Mapping[str, str], wrong: dict[str, str]) -> None:
        for name, default in defaults.items():
            if name in wrong or getattr(self, name):
                continue
            if default in wrong:
                wrong[name] = wrong[default]
            else:
                self.__dict__[name] = getattr(self, default)

    def require(self, *names: str) -> Self:
        """Return these settings, if those of `names` are right; without names: if all are.

        Raises `SettingsError` with a line for each that is wrong.
        """
        wrong = [line for name, line in self._wrong.items() if not names or name in names]
        if wrong:
            raise SettingsError("\n".join(dict.fromkeys(wrong)))
        return self

    if not TYPE_CHECKING:  # or a misspelt name would be a field to mypy

        def __getattr__(self, name: str) -> Any:
            """Asked for what has no value: a field that is wrong."""
            private = object.__getattribute__(self, "__pydantic_private__") or {}
            if name in private.get("_wrong", {}):
                raise SettingsError(private["_wrong"][name])
            return super().__getattr__(name)


def _explain(error: ValidationError) -> dict[str, str]:
    """Return each wrong field with its line; the value itself is never shown."""
    lines: dict[str, str] = {}
    for problem in error.errors(include_url=False, include_input=False):
        name = str(problem["loc"][0])
        lines.setdefault(name, f"{name.upper()}: {problem['msg'].removeprefix('Value error, ')}")
    return lines
