"""A dispute about a lead was decided."""

from billing.notices.mail_facts import DisputeDecidedFacts, MailFacts
from notify.mail.letters.letter import Letter, Tone
from notify.mail.wording import account, account_line, credit, name, time

SHORT_ID_MAX_LENGTH = 40


def dispute_decided(mail: MailFacts, facts: DisputeDecidedFacts) -> Letter:
    """The dispute was accepted or rejected."""
    lead = name(facts.lead_id, most=SHORT_ID_MAX_LENGTH)
    outcome = "accepted" if facts.accepted else "rejected"
    return Letter(
        subject=f"Dispute {outcome}: lead {lead}",
        heading=f"Your dispute was {outcome}",
        tone=Tone.GOOD if facts.accepted else Tone.PLAIN,
        paragraphs=(_meaning(mail, facts),),
        figures=(
            ("Account", account_line(mail)),
            ("Lead", name(facts.lead_id)),
            ("Reason given", name(facts.type.replace("_", " ")).capitalize()),
            ("Credit returned", credit(facts.credits_refunded)),
            ("Decided on", time(facts.decided_at, mail)),
            ("Dispute", str(facts.dispute_id)),
            ("Balance now", credit(facts.balance)),
        ),
    )


def _meaning(mail: MailFacts, facts: DisputeDecidedFacts) -> str:
    if not facts.accepted:
        return (
            f"The dispute of {account(mail)} was looked into and rejected. The lead stays charged,"
            " and the balance stays as it is."
        )
    returned = credit(facts.credits_refunded)
    were = "was" if facts.credits_refunded == 1 else "were"
    return f"The dispute of {account(mail)} was accepted, and {returned} {were} returned."
