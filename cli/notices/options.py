"""Arguments and options that several commands on notices share."""

import re

import click


class _NoticeId(click.ParamType[int]):
    name = "notice"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        found = re.fullmatch("(?:ntc_)?([0-9]{1,18})", str(value))
        if found is None:
            self.fail(f"{value!r} is not the id of a notice such as ntc_42", param, ctx)
        return int(found[1])


NOTICE_ID = _NoticeId()
"""The number of a notice, with or without the `ntc_` that receivers see."""
ENDPOINT = click.IntRange(1, 2**63 - 1)
