"""What must be right whatever the speed; a measurement that ends otherwise is worth nothing."""

from sqlalchemy import text

from benchmarks.report import WrongOutcome
from billing import verification
from db.session import snapshot


def require_clean_ledger() -> None:
    """Raise `WrongOutcome` if an invariant of the ledger is broken anywhere."""
    with snapshot() as session:
        report = verification.verify(session)
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


_CREDITED = text("""
SELECT (SELECT count(*) FROM inbound_events WHERE event_id LIKE :run AND outcome = 'captured'),
       (SELECT count(*) FROM billing_payments p JOIN billing_orders o ON o.payment_id = p.id
         WHERE starts_with(p.gateway_payment_id, :payments) AND o.state = 'paid'
           AND (p.state, p.credits, p.bonus_credits) = ('captured', :credits, :bonus)),
       (SELECT count(*) FROM credit_transactions
         WHERE starts_with(payment_id, :payments) AND (kind, amount) = ('top_up', :credits)),
       (SELECT count(*) FROM credit_transactions
         WHERE starts_with(payment_id, :payments) AND (kind, amount) = ('bonus', :bonus)),
       (SELECT count(*) FROM credit_transactions WHERE starts_with(payment_id, :payments))
""")


def require_credited_once(
    run: str, payments: str, *, events: int, credits_each: int, bonus_each: int
) -> None:
    """Raise `WrongOutcome` unless each payment of a run paid its order and brought its credit once.

    `payments` is what the gateway's ids of the run's payments begin with.
    """
    wanted = {
        "run": f"{run}-%", "payments": payments, "credits": credits_each, "bonus": bonus_each,
    }  # fmt: skip
    with snapshot() as session:
        found = tuple(session.execute(_CREDITED, wanted).one())
    if found != (events, events, events, events, 2 * events):
        raise WrongOutcome(
            f"{events} payments came to {found[0]} rows captured, {found[1]} orders paid,"
            f" {found[2]} top-ups and {found[3]} bonuses among {found[4]} ledger rows"
        )
