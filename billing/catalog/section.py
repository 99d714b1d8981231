"""The base of each section: frozen, exact types, no unknown keys."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A table of catalog.toml. One that has defaults for all its keys may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A name that machines use, such as a type of dispute or a feature."""


def require_rising(what: str, amounts: Sequence[int]) -> None:
    """Raise `ValueError` unless each amount is more than the one before it."""
    for lower, upper in pairwise(amounts):
        if upper <= lower:
            raise ValueError(f"{what} must rise: {upper} comes after {lower}")
