"""A diagnosis: what was examined, how it stands, and what to do about it."""

from dataclasses import dataclass

from billing.oversight import Level


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one examination says; `remedy` is empty if nothing is to be done."""

    what: str
    level: Level
    detail: str
    remedy: str = ""


def well(what: str, detail: str) -> Diagnosis:
    """Return that it is as it should be."""
    return Diagnosis(what, Level.WELL, detail)


def attention(what: str, detail: str, remedy: str) -> Diagnosis:
    """Return that it works and somebody should look at it."""
    return Diagnosis(what, Level.ATTENTION, detail, remedy)


def broken(what: str, detail: str, remedy: str) -> Diagnosis:
    """Return that something does not work until it is mended."""
    return Diagnosis(what, Level.BROKEN, detail, remedy)
