"""Python environments with what some requirements bring and no more, made without a network."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def make(place: Path) -> tuple[Path, Path]:
    """Make an empty environment; return its python and the folder of its packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    [packages] = place.glob("lib/python*/site-packages")
    return place / "bin" / "python", packages


def add(packages: Path, requirements: Iterable[str], *, extra: str = "") -> None:
    """Link what pip would install for these requirements, from what is installed here."""
    for name in set(_closure(requirements, extra, set())):
        distribution = metadata.distribution(name)
        # Whole folders: no two distributions here share one.
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for top in tops:
            (packages / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())


def _closure(requirements: Iterable[str], extra: str, known: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the names of the distributions that these requirements bring, with their extras."""
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras} - {of for at, of in known if at == name}:
            known.add((name, wanted))
            yield name
            yield from _closure(metadata.distribution(name).requires or [], wanted, known)
