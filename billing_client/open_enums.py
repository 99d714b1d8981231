"""`OpenEnum`: the values that this version knows, and any that a newer server adds."""

from enum import StrEnum
from typing import Self


class OpenEnum(StrEnum):
    """A text with names for the values known today.

    A member is equal to its text, prints as it and is JSON as it is. A text that no member has
    becomes a value of the same type, with `is_known` False; it is not among the members.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # Not kept: a server could send any number of them. Equality is that of the text.
        unknown = str.__new__(cls, value)
        unknown._name_ = str(value)
        unknown._value_ = str(value)
        return unknown

    @property
    def is_known(self) -> bool:
        """Return whether this version has a name for the value."""
        return self._value_ in type(self)._value2member_map_

    def __repr__(self) -> str:
        if self.is_known:
            return f"<{type(self).__name__}.{self._name_}: {self._value_!r}>"
        return f"<{type(self).__name__}: {self._value_!r}, unknown to this version>"
