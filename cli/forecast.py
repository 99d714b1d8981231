"""`billing forecast`: how long an account's credit will last."""

import click

from billing.reports import forecast as rule
from cli.options import View, record_options
from cli.output import is_for_people, print_json, print_record
from db.session import snapshot

_BARS = "▁▂▃▄▅▆▇█"


@click.command()
@click.argument("ref")
@record_options
def forecast(ref: str, *, view: View) -> None:
    """Show how many days the credit of account REF will last.

    The rate is the average of the last 7 days, or of the last 28 if nothing was spent in 7. Expiry
    is not taken into account.
    """
    with snapshot() as session:  # one moment for what was spent and what is available
        found = rule.forecast(session, ref)
    rounded = {
        "account": found.account,
        "available": found.available,
        "per_day_7": round(found.per_day_7, 1),
        "per_day_28": round(found.per_day_28, 1),
        "days_left": None if found.days_left is None else round(found.days_left, 1),
        "runs_out_at": found.runs_out_at,
    }
    if view.as_json:
        print_json({**rounded, "daily": found.daily})
        return
    last_days = {"last 28 days": spark_line(found.daily)} if is_for_people(view) else {}
    print_record({**rounded, **last_days}, view)


def spark_line(values: list[int]) -> str:
    """Return one bar for each value, the tallest for the largest; zero is a blank."""
    top = max([*values, 1])
    return "".join(
        _BARS[round(value / top * (len(_BARS) - 1))] if value > 0 else " " for value in values
    )
