"""`billing doctor`: judges every setting and the surroundings, each finding with its remedy.

The examinations stand in `cli/examinations/`, one file for each thing that is examined; whoever
adds a setting or a server adds an examination to `EXAMINATIONS`. Nothing is changed.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict

import click

import settings
from billing import oversight
from cli.examinations import (
    catalog,
    database,
    gateways,
    listeners,
    notices,
    redis,
    secrets,
    stack,
)
from cli.examinations.diagnosis import Diagnosis, broken, well
from cli.options import View, json_option
from cli.output import Columns, print_json, print_records
from settings import Settings

EXAMINATIONS: tuple[Callable[[Settings], Iterator[Diagnosis]], ...] = (
    database.examine,
    redis.examine,
    catalog.examine,
    gateways.examine,
    secrets.examine,
    notices.examine,
    listeners.examine,
    stack.examine,
)


@click.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Judge every setting and the surroundings.

    Whether they are set and make sense, whether PostgreSQL and Redis can be reached and are set up
    as they must be, the catalog, secrets, gateways, ports, clocks and roles; each with a remedy.
    The exit code is 0 if all is well, 1 if something needs attention, 2 if something is broken.
    """
    found = list(_examine())
    level = oversight.worst(diagnosis.level for diagnosis in found)
    if as_json:
        print_json({"level": level, "findings": [asdict(diagnosis) for diagnosis in found]})
    else:
        remedies = any(diagnosis.remedy for diagnosis in found)
        columns = Columns(f"level what detail{' remedy' if remedies else ''}")
        lines = [asdict(diagnosis) for diagnosis in found]
        for line in lines:
            remedy = line.pop("remedy")
            if remedies:
                line["remedy"] = remedy or None
        print_records(lines, View(), columns=columns, empty="")
    sys.exit(level.exit_code)


def _examine() -> Iterator[Diagnosis]:
    try:
        settings.require()
    except settings.SettingsError as error:
        for line in str(error).splitlines():
            variable, _, problem = line.partition(" " if " is not set" in line else ": ")
            yield broken(variable, problem, "correct it: docs/reference/settings.md")
    else:
        yield well("settings", "every setting makes sense")
    for examine in EXAMINATIONS:
        with suppress(settings.SettingsError):  # what it examines needs one that is named above
            yield from examine(settings.get())
