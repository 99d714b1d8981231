"""What must be right whatever the speed; a measurement that ends otherwise is worth nothing."""

from sqlalchemy import text

from benchmarks.report import WrongOutcome
from billing import verify
from db.session import snapshot


def require_clean_ledger() -> None:
    """Raise `WrongOutcome` if an invariant of the ledger is broken anywhere."""
    with snapshot() as session:
        report = verify.verify(session)
    if report.breaches:
        raise WrongOutcome(f"the ledger has {len(report.breaches)} breaches: {report.breaches[0]}")


_POSTED = text("""
SELECT count(*), coalesce(sum(amount), 0)::bigint
  FROM credit_transactions WHERE starts_with(idempotency_key, :prefix)
""")


def require_posted(prefix: str, *, rows: int, amount: int) -> None:
    """Raise `WrongOutcome` unless so many keys begin with `prefix`, and come to `amount`."""
    with snapshot() as session:
        found = tuple(session.execute(_POSTED, {"prefix": prefix}).one())
    if found != (rows, amount):
        raise WrongOutcome(
            f"{rows} postings of {amount} credits came to {found[0]} rows of {found[1]}"
        )


_OUTCOMES = text("""
SELECT (SELECT count(*) FROM inbound_events WHERE event_id LIKE :run AND outcome = 'charged'),
       (SELECT count(*) FROM lead_charges WHERE lead_id LIKE :run AND state = 'charged'),
       (SELECT count(*) FROM credit_transactions WHERE lead_id LIKE :run)
""")


def require_charged_once(run: str, events: int) -> None:
    """Raise `WrongOutcome` unless the leads of a run were recorded and charged, each once."""
    with snapshot() as session:
        found = tuple(session.execute(_OUTCOMES, {"run": f"{run}-%"}).one())
    if found != (events, events, events):
        raise WrongOutcome(
            f"{events} events came to {found[0]} rows charged, {found[1]} leads, {found[2]}"
            " ledger rows"
        )
