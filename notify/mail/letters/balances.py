"""Credit is low, used up or owed, and leads wait for it."""

from billing.notices.mail_facts import BalanceFacts, MailFacts, ParkedLeadsFacts
from notify.mail.letters.letter import Letter, Link, Listing, Tone
from notify.mail.wording import (
    SHORT_NAME_MAX_LENGTH,
    account,
    account_line,
    counted,
    credit,
    name,
    product,
    time,
)  # fmt: skip


def low(mail: MailFacts, facts: BalanceFacts) -> Letter:
    """Little credit is left."""
    return Letter(
        subject=f"Credit is low: {credit(facts.balance)} left{_for(mail)}",
        heading=f"Credit is low: {credit(facts.balance)} left",
        tone=Tone.WARNING,
        paragraphs=(
            f"{account(mail)} has {credit(facts.balance)} left. The balance counts as low at"
            f" {credit(facts.low_balance)} or fewer.",
            "When no credit is left, what costs credit may have to wait or be refused.",
        ),
        figures=_figures(mail, facts.balance, facts.parked_leads),
        link=_top_up(facts.top_up_url),
        closing=_how_to_add(mail, facts.top_up_url),
    )


def exhausted(mail: MailFacts, facts: BalanceFacts) -> Letter:
    """No credit is left."""
    return Letter(
        subject=f"No credit is left{_for(mail)}",
        heading="No credit is left",
        tone=Tone.URGENT,
        paragraphs=(
            f"{account(mail)} has used up its credit. Until credit is added, what costs credit may"
            " have to wait or be refused.",
            *_waiting(facts.parked_leads),
        ),
        figures=_figures(mail, facts.balance, facts.parked_leads),
        link=_top_up(facts.top_up_url),
        closing=_how_to_add(mail, facts.top_up_url),
    )


def in_debt(mail: MailFacts, facts: BalanceFacts) -> Letter:
    """More was charged than there was credit."""
    owed = max(-facts.balance, 0)
    return Letter(
        subject=f"{credit(owed).capitalize()} owed{_for(mail)}",
        heading=f"The account owes {credit(owed)}",
        tone=Tone.URGENT,
        paragraphs=(
            f"{account(mail)} was charged more than the credit it had, and now owes"
            f" {credit(owed)}. The next credit that is added pays this debt first; the rest can be"
            " spent.",
            *_waiting(facts.parked_leads),
        ),
        figures=_figures(mail, facts.balance, facts.parked_leads),
        link=_top_up(facts.top_up_url),
        closing=_how_to_add(mail, facts.top_up_url),
    )


def leads_parked(mail: MailFacts, facts: ParkedLeadsFacts) -> Letter:
    """The day's digest of the leads that wait for credit."""
    missing = facts.credits - facts.balance
    unlisted = facts.count - len(facts.leads)
    return Letter(
        subject=f"{_leads_wait(facts.count)} for credit{_for(mail)}",
        heading=f"{_leads_wait(facts.count)} for credit",
        tone=Tone.WARNING,
        paragraphs=(
            f"{account(mail)} has too little credit for {counted(facts.count, 'lead')}. Together"
            f" they cost {credit(facts.credits)}.",
            "Nothing is lost: as soon as there is credit, they are charged and released by"
            " themselves, the oldest first.",
        ),
        figures=(
            ("Account", account_line(mail)),
            ("Balance", credit(facts.balance)),
            ("Needed for all of them", credit(facts.credits)),
            *((("Missing", credit(missing)),) if missing > 0 else ()),
        ),
        link=_top_up(facts.top_up_url),
        closing=_how_to_add(mail, facts.top_up_url),
        listing=Listing(
            title="Waiting since, the oldest first",
            items=tuple(
                (name(lead.lead_id), f"{credit(lead.credits)}, since {time(lead.parked_at, mail)}")
                for lead in facts.leads
            ),
            rest=f"and {counted(unlisted, 'more lead')}" if unlisted > 0 else None,
        )
        if facts.leads
        else None,
    )


def _leads_wait(count: int) -> str:
    return f"{counted(count, 'lead')} {'waits' if count == 1 else 'wait'}"


def _waiting(parked_leads: int) -> tuple[str, ...]:
    if not parked_leads:
        return ()
    return (
        f"{_leads_wait(parked_leads)} for credit. As soon as there is enough, leads are charged"
        " and released by themselves, the oldest first.",
    )


def _figures(mail: MailFacts, balance: int, parked_leads: int) -> tuple[tuple[str, str], ...]:
    waiting = (("Waiting for credit", counted(parked_leads, "lead")),) if parked_leads else ()
    return ("Account", account_line(mail)), ("Balance", credit(balance)), *waiting


def _top_up(url: str | None) -> Link | None:
    return Link("Add credit", url) if url else None


def _how_to_add(mail: MailFacts, url: str | None) -> tuple[str, ...]:
    return () if url else (f"Please add credit in {product(mail)}.",)


def _for(mail: MailFacts) -> str:
    return f" ({account(mail, most=SHORT_NAME_MAX_LENGTH)})"
