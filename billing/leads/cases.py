"""One request of a batch on its way to its result: decisions only, no database.

A request is answered by the record of its lead, by an earlier request of the batch for the same
lead, or by the ledger. Used by `billing/leads/charging.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from billing.catalog import LeadTier
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.leads.lead_statements import NewLead, RecordedLead
from billing.leads.pricing import lead_price_credits
from billing.leads.request import LeadRequest, LeadResult, LeadState
from billing.ledger import InsufficientCredit, Outcome, PostingResult
from errors import PermanentError

_STATE_ON_RECORD = {
    "charged": LeadState.REPEATED,
    "refunded": LeadState.REPEATED,
    "parked": LeadState.INSUFFICIENT_CREDIT,
    "cancelled": LeadState.CANCELLED,
}
"""State of a lead's row -> the answer to the same request."""
_STATE_TO_RECORD = {LeadState.CHARGED: "charged", LeadState.INSUFFICIENT_CREDIT: "parked"}
"""The ledger's answer -> state of the row that it leaves; the other answers leave none."""


@dataclass(slots=True)
class Case:
    """A request, what it waits for, and its result once that is known."""

    request: LeadRequest
    price_credits: int = 0
    """Of a lead that is not on record yet; otherwise zero."""
    first: "Case | None" = None
    """The earlier case of the batch that charges this lead: its result answers this one too."""
    result: LeadResult | None = None
    actor: str = ""
    """Who asks for it."""
    account_id: int = 0
    """Set with the ledger's answer, as is `transaction_id`; zero if there is none."""
    transaction_id: int = 0
    request_id: str | None = None
    """Of the HTTP request that brought it."""

    @property
    def is_charge(self) -> bool:
        """Whether the ledger has to answer it."""
        return self.result is None and self.first is None

    def wait_behind_parked(self, account_id: int) -> None:
        """Park the lead: others of its account are parked before it and about to be released."""
        self.account_id = account_id
        self.result = self._priced(LeadState.INSUFFICIENT_CREDIT)

    def settle(self, posted: PostingResult, recorded: RecordedLead | None) -> None:
        """Take the ledger's answer; `recorded` is the lead's row if the answer is a conflict."""
        self.account_id, self.transaction_id = posted.account_id, posted.transaction_id
        if posted.outcome is Outcome.APPLIED:
            self.result = LeadResult(
                LeadState.CHARGED,
                self.request.account,
                self.price_credits,
                transaction_id=posted.transaction_id,
                balance=posted.balance_after,
            )
        elif posted.outcome is Outcome.REPEATED:
            self.result = self._priced(LeadState.REPEATED)
        elif isinstance(posted.error, InsufficientCredit):
            self.result = self._priced(LeadState.INSUFFICIENT_CREDIT)
        else:
            assert posted.error is not None  # a refused posting carries its error
            # The row names the fields as the sender knows them, the ledger does not.
            conflict = conflict_between(recorded, self.request) if recorded else None
            self.result = _refused(self.request, conflict or posted.error)

    def final_result(self) -> LeadResult:
        """Return the result, once the ledger has answered each charge of the batch."""
        result = self.first.result if self.first is not None else self.result
        assert result is not None  # every charge was settled
        if self.first is not None and result.state is LeadState.CHARGED:
            return LeadResult(LeadState.REPEATED, result.account, result.credits)
        return result

    def new_lead(self) -> NewLead | None:
        """Return the row that a settled charge leaves; None if it leaves none."""
        state = _STATE_TO_RECORD.get(self.result.state) if self.result is not None else None
        if state is None:
            return None
        return NewLead(
            lead_id=self.request.lead_id,
            account_id=self.account_id,
            account=self.request.account,
            package_price_paise=self.request.package_price_paise,
            credits=self.price_credits,
            state=state,
            transaction_id=self.transaction_id or None,
            source=self.request.source,
            occurred_at=self.request.occurred_at,
            request_id=self.request_id,
        )

    def _priced(self, state: LeadState) -> LeadResult:
        return LeadResult(state, self.request.account, self.price_credits)


def classify_all(
    requests: Sequence[LeadRequest],
    *,
    recorded: Mapping[str, RecordedLead],
    known_accounts: Collection[str] | None,
    tiers: Sequence[LeadTier],
) -> list[Case]:
    """Return the case of each request of a batch, in the same order; see `classify`."""
    cases: list[Case] = []
    charges: dict[str, Case] = {}
    for request in requests:
        case = classify(
            request,
            recorded=recorded.get(request.lead_id),
            first=charges.get(request.lead_id),
            known_accounts=known_accounts,
            tiers=tiers,
        )
        if case.is_charge:
            charges[request.lead_id] = case
        cases.append(case)
    return cases


def classify(
    request: LeadRequest,
    *,
    recorded: RecordedLead | None,
    first: Case | None,
    known_accounts: Collection[str] | None,
    tiers: Sequence[LeadTier],
) -> Case:
    """Return the case of one request.

    `recorded` is what is on record of its lead, `first` the case that charges the lead earlier in
    the batch. `known_accounts` None: the ledger finds out whether the account is known.
    """
    before = recorded or (first.request if first is not None else None)
    conflict = conflict_between(before, request) if before is not None else None
    if conflict is not None:
        return Case(request, result=_refused(request, conflict))
    if recorded is not None:
        state = _STATE_ON_RECORD[recorded.state]
        return Case(request, result=LeadResult(state, request.account, recorded.credits))
    if first is not None:
        return Case(request, first=first)
    if known_accounts is not None and request.account not in known_accounts:
        return Case(request, result=_refused(request, UnknownAccount(request.account)))
    return Case(request, lead_price_credits(request.package_price_paise, tiers))


def conflict_between(
    before: RecordedLead | LeadRequest, request: LeadRequest
) -> IdempotencyConflict | None:
    """Return how a request differs from what was asked for its lead before; None: not at all."""
    differences: dict[str, tuple[object, object]] = {}
    if before.account != request.account:
        differences["account"] = (before.account, request.account)
    if before.package_price_paise != request.package_price_paise:
        differences["package_price_paise"] = (
            before.package_price_paise,
            request.package_price_paise,
        )
    return IdempotencyConflict(f"lead {before.lead_id}", differences) if differences else None


def _refused(request: LeadRequest, error: PermanentError) -> LeadResult:
    return LeadResult(LeadState.REFUSED, request.account, 0, error)
