"""The development stack of this checkout, if one is up, and the room that it has."""

import shutil
from collections.abc import Iterator

import settings
from cli.examinations.diagnosis import Diagnosis, attention, well
from settings import Settings

LEAST_FREE_BYTES = 1_000_000_000


def examine(known: Settings) -> Iterator[Diagnosis]:
    """Yield where a stack was looked for, and whether its disk is nearly full."""
    file = settings.stack_file(known.billing_data_dir)
    if not file.exists():
        yield well("stack", f"none is up in {known.billing_data_dir}")
        return
    free = shutil.disk_usage(known.billing_data_dir).free
    if free < LEAST_FREE_BYTES:
        detail = f"{free // 1_000_000:,} MB are free for {known.billing_data_dir}"
        yield attention("stack", detail, "make room: PostgreSQL stops at a full disk")
    else:
        yield well("stack", f"is up in {known.billing_data_dir}")
