"""Credit, leads and disputes: how each of their topics is made to happen.

A cause brings the account into the state before, if it has to, and then makes the one thing happen.
"""

from billing import catalog, disputes
from billing.leads import parking
from billing.ledger import alert_levels
from billing.topics import Topic
from cli.parked_leads import request_release
from cli.trigger.cause import Cause
from cli.trigger.scene import ACTOR, PACKAGE_PRICE_PAISE, Scene
from db.models import LeadDispute
from errors import PermanentError


def _low_balance(scene: Scene) -> int:
    low = alert_levels.low_balance_of(scene.account().low_balance)
    if not low:
        raise PermanentError(
            f"the low balance of {scene.ref} is 0, so it is never low: set one with"
            f" `billing accounts set {scene.ref} --low-balance 500`"
        )
    return low


def _be_well(scene: Scene) -> None:
    """Give credit until the balance is not low, if it is."""
    low = alert_levels.low_balance_of(scene.account().low_balance)
    scene.adjust(max(low + 1 - scene.account().balance, 0))


def _low(scene: Scene) -> None:
    low = _low_balance(scene)
    _be_well(scene)
    scene.bring_balance_to(low)


def _exhausted(scene: Scene) -> None:
    _be_well(scene)
    scene.bring_balance_to(0)


def _in_debt(scene: Scene) -> None:
    scene.bring_balance_to(0)
    scene.adjust(-1)


def _recovered(scene: Scene) -> None:
    low = alert_levels.low_balance_of(scene.account().low_balance)
    scene.adjust(min(low - scene.account().balance, 0))
    _be_well(scene)


def _lead_charged(scene: Scene) -> None:
    scene.charged_lead()


def _lead_parked(scene: Scene) -> None:
    scene.parked_lead()


def _lead_released(scene: Scene) -> None:
    lead = scene.parked_lead()
    scene.cover(0)
    request_release()
    scene.wait_for_lead(lead.lead_id, "charged")


def _lead_cancelled(scene: Scene) -> None:
    lead = scene.parked_lead()
    scene.as_operator(
        lambda session: parking.cancel(session, lead.lead_id, reason="billing trigger")
    )
    scene.say(f"cancelled the parked lead {lead.lead_id}")


def _lead_conflict(scene: Scene) -> None:
    lead = scene.charged_lead()
    scene.send_lead(lead.lead_id, price_paise=PACKAGE_PRICE_PAISE + 1)


def _open_dispute(scene: Scene) -> LeadDispute:
    lead = scene.charged_lead()
    opened = scene.as_operator(
        lambda session: disputes.open_dispute(
            session,
            lead_id=lead.lead_id,
            account=scene.ref,
            dispute_type=catalog.get().disputes.types[0],
            description="billing trigger",
            request_key=f"trigger:{lead.lead_id}",
            actor=ACTOR,
        )
    )
    scene.say(f"opened dispute {opened.dispute.id} of lead {lead.lead_id}")
    return opened.dispute


def _dispute_opened(scene: Scene) -> None:
    _open_dispute(scene)


def _dispute_resolved(scene: Scene) -> None:
    dispute = _open_dispute(scene)
    scene.as_operator(
        lambda session: disputes.approve(
            session, dispute.id, amount=None, notes="billing trigger", actor=ACTOR
        )
    )
    scene.say(f"approved dispute {dispute.id}")


CAUSES = (
    Cause(Topic.BALANCE_LOW, "corrects the balance to the account's low balance", _low),
    Cause(Topic.BALANCE_EXHAUSTED, "corrects the balance to zero", _exhausted),
    Cause(Topic.BALANCE_IN_DEBT, "corrects the balance to zero, then below", _in_debt),
    Cause(Topic.BALANCE_RECOVERED, "gives credit to a balance that is low", _recovered),
    Cause(Topic.LEAD_CHARGED, "sends a lead that the account can pay", _lead_charged),
    Cause(Topic.LEAD_PARKED, "sends a lead that it cannot pay", _lead_parked),
    Cause(Topic.LEAD_RELEASED, "parks a lead, then gives credit", _lead_released),
    Cause(Topic.LEAD_CANCELLED, "parks a lead, then cancels it", _lead_cancelled),
    Cause(Topic.LEAD_REFUNDED, "approves the dispute of a charged lead", _dispute_resolved),
    Cause(Topic.LEAD_CONFLICT, "sends a charged lead again, for another package", _lead_conflict),
    Cause(Topic.DISPUTE_OPENED, "disputes a charged lead", _dispute_opened),
    Cause(Topic.DISPUTE_RESOLVED, "approves the dispute of a charged lead", _dispute_resolved),
)
