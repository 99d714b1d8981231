"""COPY and array literals carry every value unchanged."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db.bulk import FEW, bytes_array, copy_rows, int_array, text_array, time_array
from db.session import transaction

pytestmark = pytest.mark.usefixtures("database")

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
times = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
rows = st.lists(
    st.tuples(
        st.none() | texts,
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.binary(),
        times,
    ),
    min_size=1,
    max_size=2 * FEW + 1,
)
one_database = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@one_database
@given(rows)
def test_copied_rows_come_back_as_they_went_in(
    values: list[tuple[str | None, int, bool, bytes, datetime]],
) -> None:
    with transaction() as session:
        session.execute(
            text(
                "CREATE TEMPORARY TABLE t (n int GENERATED ALWAYS AS IDENTITY, a text, b bigint,"
                " c boolean, d bytea, e timestamptz) ON COMMIT DROP"
            )
        )
        copy_rows(session, "t", ("a", "b", "c", "d", "e"), values)
        back = [
            (a, b, c, bytes(d), e)
            for a, b, c, d, e in session.execute(text("SELECT a, b, c, d, e FROM t ORDER BY n"))
        ]
    assert back == values


@one_database
@given(rows)
def test_arrays_come_back_as_they_went_in(
    values: list[tuple[str | None, int, bool, bytes, datetime]],
) -> None:
    a, b, _, d, e = zip(*values, strict=True)
    with transaction() as session:
        row = session.execute(
            text(
                "SELECT CAST(:a AS text[]), CAST(:b AS bigint[]), CAST(:d AS bytea[]),"
                " CAST(:e AS timestamptz[])"
            ),
            {"a": text_array(a), "b": int_array(b), "d": bytes_array(d), "e": time_array(e)},
        ).one()
    assert row[0] == list(a)
    assert row[1] == list(b)
    assert [bytes(value) for value in row[2]] == list(d)
    assert row[3] == list(e)
