"""`billing trigger`: makes what notices report really happen, in development.

`causes.py` and `money.py` say how, topic by topic; here it is chosen, done, and its notice found.
"""

import difflib

import click

from billing.topics import Topic
from cli.development import require_development
from cli.options import View, record_options
from cli.output import Columns, is_for_people, print_record, print_records
from cli.trigger import causes, money, outcome
from cli.trigger.cause import Cause
from cli.trigger.scene import Scene

CAUSES: dict[Topic, Cause] = {cause.topic: cause for cause in (*causes.CAUSES, *money.CAUSES)}

WITH_TIME = frozenset({
    Topic.PLAN_DUE_SOON, Topic.PLAN_PAST_DUE, Topic.PLAN_DEGRADED, Topic.RENEWAL_REMINDER,
})  # fmt: skip
"""What only the passing of time brings."""


@click.command()
@click.argument("topic", required=False)
@click.option("--account", "ref", metavar="REF", help="The account that it happens to.")
@click.option("--list", "wants_list", is_flag=True, help="List what can be triggered, and how.")
@record_options
def trigger(topic: str | None, ref: str | None, *, wants_list: bool, view: View) -> None:
    """Make TOPIC happen to an account, in development.

    It really happens, through the rules: credit is corrected, a lead is sent, an order is paid at
    the simulator. So what belongs to it happens as well, and stays in the books of this stack.
    `billing listen` shows the notices.

    \b
    Examples:
      billing trigger --list
      billing trigger balance.low --account clinic:demo-1
      billing trigger payment.captured --account clinic:demo-1
    """
    if wants_list:
        rows = [{"topic": str(one.topic), "does": one.does} for one in CAUSES.values()]
        print_records(rows, view, columns=Columns("topic does"), empty="")
        return
    if topic is None or ref is None:
        raise click.UsageError("give a TOPIC and --account REF, or --list to see the topics")
    cause = _cause(topic)
    require_development("trigger")
    scene = Scene(ref)
    before = outcome.newest_notice()
    click.echo(f"{cause.topic}: {cause.does}", err=True)
    cause.happen(scene)
    found = outcome.wait(cause.topic, scene, before, for_people=is_for_people(view))
    print_record(found, view)


def _cause(name: str) -> Cause:
    if name in CAUSES:
        return CAUSES[Topic(name)]
    if name in WITH_TIME:
        raise click.UsageError(
            f"{name} comes with time alone: buy a plan with `billing trigger plan.activated`, and"
            " let a year pass: `billing clock watch --days 400`"
        )
    near = difflib.get_close_matches(name, [*CAUSES, *WITH_TIME], 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise click.UsageError(
        f"{name!r} cannot be triggered{meant} `billing trigger --list` lists all"
    )
