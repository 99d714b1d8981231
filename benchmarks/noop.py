"""The yardstick of the Celery door: a task of the product's own app that does nothing.

A worker knows it by `--include benchmarks.noop`.
"""

from worker.app import app


@app.task(name="benchmarks.noop")  # type: ignore[untyped-decorator] # Celery has no types
def noop(**_fields: object) -> None:
    """Do nothing with the fields of a lead."""
