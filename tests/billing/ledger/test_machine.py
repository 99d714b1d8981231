"""A search for the counter-example: every operation of the ledger, in any order, against a model.

Hypothesis makes up histories of some accounts (`LedgerMachine`); each step is done to the real
ledger and to the plain-Python model, and then everything is compared: the answer or the error,
balances, what is held, what remains of each lot and what each charge took of it, debts, the
story of each hold; and every invariant is checked.

`--machine-steps=N` says how many steps (default 5,000), `--machine-seed=N` repeats a run; both are
printed. `tests/billing/ledger/model.py` is the model, `books.py` reads the database in its terms.
"""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import clock
from billing import accounts
from billing.calendar import end_of_local_day
from billing.credit import corrections, hold_expiry, holds
from billing.ledger import Kind, Posting, PostingResult, expiry
from db.models import Hold as HoldRow
from db.session import transaction
from errors import PermanentError
from tests.billing.given import assert_ledger_is_clean, post_all
from tests.billing.ledger.books import Books, State
from tests.billing.ledger.model import (
    GIVES_BACK,
    LOW_BALANCE,
    NEVER,
    Account,
    Answer,
    Hold,
    Model,
    answer_to,
    first_instant_after,
)

STEPS_OF_AN_EXAMPLE = 60
EXAMPLES_OF_A_ROUND = 100
"""A long run is many rounds, each with the next seed: what Hypothesis remembers stays small."""

# With their days without a midnight: Cairo 2026-04-24, Havana 2026-03-08.
ZONES = ("Asia/Kolkata", "Africa/Cairo", "America/Havana", "Pacific/Apia", "UTC")
STARTS = (
    datetime(2026, 2, 5, 18, 29, 59, 999_999, tzinfo=UTC),
    datetime(2026, 3, 23, 22, 0, tzinfo=UTC),
    datetime(2026, 9, 30, 12, 0, tzinfo=UTC),
)
CREDIT = (Kind.TOP_UP, Kind.BONUS, Kind.GRANT, Kind.GOODWILL)
CHARGES = (Kind.LEAD_CHARGE, Kind.USAGE)
PASSING = (
    timedelta(microseconds=1), timedelta(hours=1), timedelta(hours=7), timedelta(days=1),
    timedelta(days=6, hours=5), timedelta(days=31), timedelta(days=100),
)  # fmt: skip

amounts = st.integers(1, 120)
ALL = 120
"""More than this: all that is available."""
spent = st.integers(1, 145)
picks = st.integers(0, 200)
"""Which of what there is: taken modulo how many there are."""
lives = st.sampled_from(["forever", "forever", "an hour", "today", "a week of days", "100 hours"])
actions = st.sampled_from(
    [
        *("credit",) * 5, *("charge",) * 7, *("refund",) * 4, "wrong refund", "adjust", "take away",
        "write off", "again", "altered", "unknown account", "expired already",
    ]
)  # fmt: skip
wishes = st.tuples(actions, picks, spent, lives, picks)
Wish = tuple[str, int, int, str, int]


class LedgerMachine(RuleBasedStateMachine):
    """Three accounts, a clock, and everything that may be done to them."""

    books: Books
    steps = 0
    """Over all examples."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.sent: list[Posting] = []
        self.hold_ids: dict[str, int] = {}
        self.names = count(1)
        self.time = ExitStack()

    @initialize(
        start=st.sampled_from(STARTS),
        opened=st.lists(
            st.tuples(st.sampled_from(ZONES), st.sampled_from([0, 0, 40, 150])),
            min_size=1, max_size=3,
        ),
    )  # fmt: skip
    def open_accounts(self, start: datetime, opened: list[tuple[str, int]]) -> None:
        self.time.enter_context(clock.frozen(start))
        self.books.burn()
        for number, (timezone, limit) in enumerate(opened):
            ref = f"clinic:{number}"
            with transaction() as session:
                accounts.create(
                    session, ref=ref, name="City Clinic", product="clinic_leads",
                    timezone=timezone, overdraft_limit=limit, low_balance=LOW_BALANCE,
                )  # fmt: skip
            self.model.accounts[ref] = Account(ref, timezone, limit)

    @rule(batch=st.lists(wishes, min_size=1, max_size=6))
    def post_a_batch(self, batch: list[Wish]) -> None:
        postings = [posting for wish in batch if (posting := self._posting(wish)) is not None]
        self.sent += postings
        expected = self.model.post(postings, clock.now())
        found = [answer_of(result) for result in post_all(*postings)]
        assert found == expected
        self.compare()

    @rule(way=st.sampled_from(["credit", "adjust", "take away", "write off"]), amount=amounts,
          account=picks)  # fmt: skip
    def move_by_hand(self, way: str, amount: int, account: int) -> None:
        function, kind = {
            "credit": (corrections.credit, Kind.GOODWILL),
            "write off": (corrections.write_off, Kind.WRITE_OFF),
        }.get(way, (corrections.adjust, Kind.ADJUSTMENT))
        amount = -amount if way == "take away" else amount
        posting = Posting(self._account(account).ref, amount, kind, self._name("m"), "test", way)
        self.sent.append(posting)

        def do() -> None:
            with transaction() as session:
                function(
                    session, account=posting.account, amount=amount, reason=way, actor="test",
                    idempotency_key=posting.idempotency_key,
                )  # fmt: skip

        self.both(lambda: self.model.post_alone(posting, clock.now()), do)

    @rule(charge=picks, amount=st.none() | amounts, again=st.booleans())
    def reverse_by_hand(self, charge: int, amount: int | None, again: bool) -> None:
        charges = [row.posting for _, row in self.model.rows() if row.posting.kind in GIVES_BACK]
        charge_key = charges[charge % len(charges)].idempotency_key if charges else "none"
        earlier = [
            row.posting.idempotency_key for _, row in self.model.rows()
            if row.posting.reverses == charge_key
        ]  # fmt: skip
        key = earlier[charge % len(earlier)] if again and earlier else self._name("r")

        def do() -> None:
            with transaction() as session:
                corrections.reverse(
                    session, charge_key=charge_key, amount=amount, reason="wrong number",
                    actor="test", idempotency_key=key,
                )  # fmt: skip

        self.both(
            lambda: self.model.reverse_by_hand(
                charge_key, amount, key, "wrong number", clock.now()
            ),
            do,
        )

    @rule(account=picks, amount=spent, kind=st.sampled_from(CHARGES),
          life=st.sampled_from([None, timedelta(hours=1), timedelta(days=1), timedelta(days=40)]),
          before=st.none() | picks)  # fmt: skip
    def place_a_hold(
        self, account: int, amount: int, kind: Kind, life: timedelta | None, before: int | None
    ) -> None:
        known = self.model.holds()
        amount = self._spent(self._account(account), amount)
        if before is not None and known:
            # The same request once more; one of its fields differs in most of the cases.
            asked = replace(known[before % len(known)], expires_at=NEVER, story=[])
            change = before % 5
            asked.amount = amount if change == 1 else asked.amount
            asked.life = life if change == 2 else asked.life
            asked.description = "another" if change == 3 else asked.description
            asked.kind = kind if change == 4 else asked.kind
        else:
            asked = Hold(
                self._account(account).ref, amount, self._name("h"), kind, "",
                clock.now() + life if life else NEVER, life,
            )  # fmt: skip

        def do() -> None:
            with transaction() as session:
                hold = holds.place(
                    session, account=asked.account, amount=asked.amount,
                    idempotency_key=asked.key, actor="test", expires_in=asked.life,
                    kind=asked.kind, description=asked.description,
                )  # fmt: skip
            self.hold_ids[asked.key] = hold.id

        self.both(lambda: self.model.place(asked, clock.now()), do)

    @rule(hold=picks, amount=st.none() | amounts, again=st.booleans(), void=st.booleans())
    def finish_a_hold(self, hold: int, amount: int | None, again: bool, void: bool) -> None:
        known = sorted(self.model.holds(), key=lambda hold: hold.state != "open")
        if not known:
            return
        # Mostly an open one; a finished one under its own key or another.
        of = known[hold % max(1, sum(h.state == "open" for h in known))] if not again else (
            known[hold % len(known)]
        )  # fmt: skip
        key = of.finish_key if again and of.finish_key else self._name("f")
        if amount is not None and of.state == "open":
            amount = min(amount, of.amount + 1)

        def do() -> HoldRow:
            with transaction() as session:
                how: dict[str, Any] = {
                    "hold_id": self.hold_ids[of.key], "idempotency_key": key, "actor": "test",
                }  # fmt: skip
                if void:
                    return holds.void(session, **how)
                return holds.capture(session, **how, amount=amount)

        if void:
            self.both(lambda: self.model.void(of, key, clock.now()), do)
        else:
            self.both(lambda: self.model.capture(of, amount, key, clock.now()), do)

    @rule()
    def sweep(self) -> None:
        with transaction() as session:
            assert hold_expiry.expire_due(session) == self.model.end_holds(clock.now())
        with transaction() as session:
            assert expiry.expire_due(session) == self.model.expire_lots(clock.now())
        with transaction() as session:
            assert expiry.expire_due(session) == 0
        self.compare()

    @rule(how_long=st.sampled_from(PASSING))
    def time_passes(self, how_long: timedelta) -> None:
        clock.advance(how_long)
        self.one_more_step()

    @rule(early=st.booleans(), of_a_hold=st.booleans())
    def the_next_thing_is_due(self, early: bool, of_a_hold: bool) -> None:
        """On to the very instant at which credit or a hold ends, or to just before it."""
        now = clock.now()
        ends = [hold.expires_at for hold in self.model.holds() if hold.state == "open"]
        if not of_a_hold:
            # Of an empty lot too: a charge that it paid may come back at that very instant.
            ends += [lot.expires_at for a in self.model.accounts.values() for lot in a.lots]
        coming = [end for end in ends if now < end < NEVER]
        if coming:
            step = min(coming) - now - timedelta(microseconds=1 if early else 0)
            clock.advance(step)
        self.one_more_step()

    def teardown(self) -> None:
        try:
            assert_ledger_is_clean()
        finally:
            self.time.close()

    # --- what is done to both, and compared ----------------------------------------------------

    def both(self, to_model: Callable[[], object], to_ledger: Callable[[], object]) -> None:
        """Ask both the same and compare the answers; then everything else."""
        expected = answer_to(to_model)
        found: Answer = ("done",)
        try:
            to_ledger()
        except PermanentError as error:
            found = told_error(error)
        assert found == expected
        self.compare()

    def one_more_step(self) -> None:
        LedgerMachine.steps += 1

    def compare(self) -> None:
        self.one_more_step()
        new = [
            (account.ref, row.version, row.posting.amount, row.balance_after, row.posting.kind,
             row.event_at)
            for account in self.model.accounts.values()
            for row in account.rows
        ]  # fmt: skip
        for row in self.books.new_rows():
            assert row in new
        assert self.books.breaches() == []
        found, expected = self.books.state(), state_of(self.model)
        for what, figures in expected.items():
            assert found[what] == figures, what

    # --- making postings -----------------------------------------------------------------------

    def _posting(self, wish: Wish) -> Posting | None:
        action, pick, amount, life, which = wish
        account = self._account(pick)
        amount = self._spent(account, amount)
        if action in {"again", "altered"} and self.sent:
            posting = self.sent[which % len(self.sent)]
            return altered(posting, pick) if action == "altered" else replace(
                posting, actor="somebody else", event_at=clock.now()
            )  # fmt: skip
        if action in {"refund", "wrong refund"}:
            return self._refund(account, amount, which, wrong=action != "refund")
        made = Posting(account.ref, amount, CREDIT[pick % 4], self._name("k"), "test")
        if action == "charge":
            # Now and then of something that happened earlier
            then = clock.now() - timedelta(days=2) if not which % 5 else None
            kind = CHARGES[which % 2]
            return replace(made, kind=kind, amount=-amount, lead_id=f"L{which}", event_at=then)
        changes: dict[str, dict[str, Any]] = {
            "adjust": {"kind": Kind.ADJUSTMENT},
            "take away": {"kind": Kind.ADJUSTMENT, "amount": -amount},
            "write off": {"kind": Kind.WRITE_OFF, "amount": min(amount, which + 1)},
            "unknown account": {"account": "clinic:none"},
            "expired already": {"expires_at": clock.now() - timedelta(hours=which)},
        }
        expires_at = ends_of(life, account.timezone)
        return replace(made, **changes.get(action, {"expires_at": expires_at}))

    def _refund(self, account: Account, amount: int, which: int, *, wrong: bool) -> Posting | None:
        wanted = [
            (of, row) for of, row in self.model.rows()
            if wrong or row.posting.kind in GIVES_BACK
        ]  # fmt: skip
        if not wanted:
            return None
        of, row = wanted[which % len(wanted)]
        kind = GIVES_BACK.get(row.posting.kind, Kind.LEAD_REFUND)
        if wrong and which % 3 == 0:
            of = account
        elif wrong and which % 3 == 1:
            kind = Kind.LEAD_REFUND if kind is Kind.USAGE_REFUND else Kind.USAGE_REFUND
        key = row.posting.idempotency_key or "no such charge"
        return Posting(of.ref, amount, kind, self._name("b"), "test", reverses=key)

    def _account(self, pick: int) -> Account:
        return self.model.accounts[f"clinic:{pick % len(self.model.accounts)}"]

    def _spent(self, account: Account, amount: int) -> int:
        return amount if amount <= ALL else max(1, account.available)

    def _name(self, prefix: str) -> str:
        return f"{prefix}{next(self.names)}"


def ends_of(life: str, timezone: str) -> datetime | None:
    """Until when credit lives that comes in now."""
    now = clock.now()
    match life:
        case "an hour":
            return now + timedelta(hours=1)
        case "100 hours":
            return now + timedelta(hours=100)
        case "today":
            return end_of_local_day(now, timezone)
        case "a week of days":
            return end_of_local_day(now, timezone, days_later=7)
    return None


def altered(posting: Posting, pick: int) -> Posting:
    """The same key with other content."""
    changes: list[dict[str, Any]] = [
        {"amount": posting.amount * 2},
        {"account": f"{posting.account}0"},
        {"description": "something else"},
        {"lead_id": "another lead"},
        {"payment_id": "pay_1"},
        {"dispute_id": "D-1", "description": "disputed"},
    ]
    if posting.amount > 0 and posting.kind not in {*GIVES_BACK.values(), Kind.WRITE_OFF}:
        changes.append({"expires_at": clock.now() + timedelta(days=400)})
    return replace(posting, **changes[pick % len(changes)])


def answer_of(result: PostingResult) -> Answer:
    """What the ledger said to a posting of a batch, in the model's terms."""
    if result.error is not None:
        return told_error(result.error)
    return result.outcome.value, result.version, result.balance_after


def told_error(error: PermanentError) -> Answer:
    unknown = {"hold_id", "_logged"}  # to the model
    fields = {name: value for name, value in vars(error).items() if name not in unknown}
    if "differences" in fields:
        fields["differences"] = set(fields["differences"])
    return type(error).__name__, fields


def state_of(model: Model) -> State:
    """What the model has, as `Books.state` reads it."""
    every = model.accounts.values()
    return {
        "accounts": {a.ref: (a.balance, a.held, len(a.rows)) for a in every},
        "lots": {
            a.ref: {(lot.version, lot.source, lot.amount, lot.left, lot.expires_at)
                    for lot in a.lots}
            for a in every if a.lots
        },
        "debts": {a.ref: list(a.debts.items()) for a in every if a.debts},
        "alerts": {a.ref: a.alerts for a in every if a.alerts},
        "took": {
            a.ref: {row.version: took for row in a.rows if (took := +row.took)}
            for a in every if any(+row.took for row in a.rows)
        },
        "holds": {
            hold.key: (hold.state, hold.amount, hold.captured, hold.finish_key, hold.story)
            for hold in model.holds()
        },
    }  # fmt: skip


@pytest.mark.timeout(0)
def test_any_history_is_as_the_model_says(
    database: str, pytestconfig: pytest.Config, announce: Callable[[str], None]
) -> None:
    wanted: int = pytestconfig.getoption("--machine-steps")
    first: int | None = pytestconfig.getoption("--machine-seed")
    first = random.randrange(2**32) if first is None else first
    announce(f"ledger machine: --machine-steps={wanted} --machine-seed={first}")
    started = time.monotonic()
    LedgerMachine.books, LedgerMachine.steps = Books(), 0
    for round_ in count():
        left = wanted - LedgerMachine.steps
        if left <= 0:
            break
        run_state_machine_as_test(
            seed(first + round_)(type("Machine", (LedgerMachine,), {})),
            settings=settings(
                max_examples=min(EXAMPLES_OF_A_ROUND, -(-left // STEPS_OF_AN_EXAMPLE)),
                stateful_step_count=STEPS_OF_AN_EXAMPLE,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
    LedgerMachine.books.close()
    seconds = time.monotonic() - started
    announce(f"ledger machine: {LedgerMachine.steps} steps in {seconds:.0f} s")
    assert LedgerMachine.steps >= wanted


def test_the_model_finds_the_end_of_a_day_where_the_calendar_does() -> None:
    for timezone in ZONES:
        for day in range(0, 800, 3):
            noon = datetime(2025, 6, 1, 12, tzinfo=UTC) + timedelta(days=day)
            local = noon.astimezone(ZoneInfo(timezone)).date()
            assert first_instant_after(local, timezone) == end_of_local_day(noon, timezone)
