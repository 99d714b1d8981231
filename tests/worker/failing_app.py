"""The product's worker with one more task: it fails and repeats what its sender wrote."""

from typing import Any

from worker.app import app


@app.task(name="tests.fail")  # type: ignore[untyped-decorator] # Celery has no types
def fail(*args: Any, **kwargs: Any) -> None:
    """Fail the way a careless library does."""
    try:
        raise KeyError(f"no such key: {args}")
    except KeyError as error:
        raise ValueError(f"cannot read {args} {kwargs}") from error
