"""A search for the counter-example: random batches against a plain-Python model."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ledger import Kind, Outcome, Posting
from tests.billing.given import assert_ledger_is_clean, balance, open_account, post_all

ACCOUNTS = ("a", "b")
KINDS = (Kind.LEAD_CHARGE, Kind.TOP_UP, Kind.BONUS, Kind.GOODWILL, Kind.ADJUSTMENT)

posting_strategy = st.tuples(
    st.sampled_from(ACCOUNTS),
    st.sampled_from(KINDS),
    st.integers(1, 60),
    st.booleans(),
    st.integers(0, 15),  # few keys, so that repeats and conflicts are common
)


class Model:
    """What should happen: a dozen lines, no SQL."""

    def __init__(self, prefix: str, limit: int) -> None:
        self.prefix, self.limit = prefix, limit
        self.balances = dict.fromkeys(ACCOUNTS, 0)
        self.applied: dict[str, Posting] = {}

    def post(self, posting: Posting) -> Outcome:
        before = self.applied.get(posting.idempotency_key)
        if before is not None:
            return Outcome.REPEATED if before == posting else Outcome.REFUSED
        name = posting.account.removeprefix(self.prefix)
        after = self.balances[name] + posting.amount
        if posting.amount < 0 and after < -self.limit and posting.kind is not Kind.ADJUSTMENT:
            return Outcome.REFUSED
        self.balances[name] = after
        self.applied[posting.idempotency_key] = posting
        return Outcome.APPLIED


_runs = iter(range(1_000_000))


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    batches=st.lists(st.lists(posting_strategy, min_size=1, max_size=12), max_size=8),
    limit=st.sampled_from([0, 50]),
)
def test_any_sequence_of_batches_ends_where_the_model_says(
    database: str, batches: list[list[tuple[str, Kind, int, bool, int]]], limit: int
) -> None:
    # Given accounts of this example's own
    prefix = f"run{next(_runs)}:"
    for name in ACCOUNTS:
        open_account(prefix + name, overdraft_limit=limit)
    model = Model(prefix, limit)
    for batch in batches:
        postings = []
        for account, kind, amount, negative, key in batch:
            sign = -1 if kind is Kind.LEAD_CHARGE or (kind is Kind.ADJUSTMENT and negative) else 1
            postings.append(Posting(prefix + account, sign * amount, kind, f"{prefix}{key}", "t"))
        # When the batch is posted, Then each posting has the model's outcome
        expected = [model.post(posting) for posting in postings]
        assert [result.outcome for result in post_all(*postings)] == expected
        # and every balance and invariant holds after every batch
        assert {name: balance(prefix + name) for name in ACCOUNTS} == model.balances
        assert_ledger_is_clean()
