"""`billing status`: how it stands, on one screen; exit code 0 well, 1 attention, 2 broken."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

import click

import clock
import settings
from billing import oversight
from billing.oversight import COUNTED, Finding, Level
from cli.options import View, json_option
from cli.output import Columns, print_json, print_records
from db.errors import DatabaseUnavailable
from db.session import snapshot
from errors import BillingError


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also list what is well.")
@json_option
def status(*, everything: bool, as_json: bool) -> None:
    """Show what waits, what is dead and what needs a person.

    Also whether the ticks of beat come and Redis and PostgreSQL can be reached. The exit code is 0
    if all is well, 1 if something needs attention, 2 if something is broken. `billing doctor`
    judges the settings and the surroundings.
    """
    findings = [*_processes(), *_database()]
    level = oversight.worst(finding.level for finding in findings)
    if as_json:
        print_json({"level": level, "findings": [asdict(finding) for finding in findings]})
    else:
        shown = [f for f in findings if everything or f.level is not Level.WELL or f.count]
        shown.sort(key=lambda finding: -finding.level.exit_code)
        trouble = level is not Level.WELL
        columns = Columns(f"level what count oldest{' look' if trouble else ''}")
        print_records([_line(f) for f in shown], View(), columns=columns, empty="Nothing waits.")
        if not settings.get().smtp_url:
            click.echo("\nMail is off: SMTP_URL is not set.")
        click.echo(f"\n{_SENTENCES[level]}")
    sys.exit(level.exit_code)


_SENTENCES = {
    Level.WELL: "All is well.",
    Level.ATTENTION: "Something needs attention.",
    Level.BROKEN: "Something is broken.",
}


def _line(finding: Finding) -> dict[str, object]:
    number = f"more than {COUNTED:,}" if finding.count > COUNTED else f"{finding.count:,}"
    return {
        "level": finding.level,
        "what": finding.what.replace("_", " "),
        "count": number,
        "oldest": None if finding.oldest_seconds is None else _age(finding.oldest_seconds),
        "look": finding.look if finding.level is not Level.WELL else None,
    }


def _age(seconds: int) -> str:
    """Return an age in its two largest units: 3d 4h, 12m 5s."""
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2])


def _database() -> Iterator[Finding]:
    """Yield what the database says, or that it does not answer."""
    start = "start it, or correct DATABASE_URL: billing doctor"
    try:
        with snapshot() as session:
            found = oversight.look(session, now=clock.now())
    except DatabaseUnavailable:
        yield Finding("database_unreachable", Level.BROKEN, 1, None, start)
    except (BillingError, settings.SettingsError) as error:
        # Such as: not migrated, or of another version.
        yield Finding("database_unusable", Level.BROKEN, 1, None, str(error).splitlines()[0])
    else:
        yield Finding("database_unreachable", Level.WELL, 0, None, start)
        yield from found


def _processes() -> Iterator[Finding]:
    """Yield whether Redis answers, and which ticks of beat have not been done for long."""
    try:
        settings.require("redis_url")
    except settings.SettingsError as error:
        yield Finding("redis_unreachable", Level.BROKEN, 1, None, str(error))
        return
    # Imported only when needed: Celery takes longer to load than most commands to run.
    from tasks.plumbing import broker, tick_marks  # noqa: PLC0415

    start = "start it, or correct REDIS_URL: billing doctor"
    now, marks = clock.real_now(), None
    with suppress(*broker.UNREACHABLE):
        marks = tick_marks.read()
    yield Finding(
        "redis_unreachable", Level.BROKEN if marks is None else Level.WELL, int(marks is None),
        None, start,
    )  # fmt: skip
    if marks is not None:
        late = {task: at for task, at in marks.items() if tick_marks.is_late(task, at, now=now)}
        ages = [now - at for at in late.values() if at is not None]
        yield Finding(
            "ticks_late",
            Level.WELL if not late else Level.ATTENTION if len(late) < len(marks) else Level.BROKEN,
            len(late),
            int(max(ages).total_seconds()) if ages else None,
            f"see that one beat and the workers run: {', '.join(sorted(late)) or 'none'}",
        )
