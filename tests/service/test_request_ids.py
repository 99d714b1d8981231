"""Ids of requests: which of a caller's are taken over, and that none reaches another request."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from billing_client import InvalidRequest, use_request_id
from service import request_ids

A_UUID = "1f0c2a68-7c5e-4b0e-9d5a-3f2f6f1f0a77"


@pytest.mark.parametrize(
    "value",
    [
        A_UUID,
        "req_0123456789abcdef0123456789abcdef",
        "shop-7f3a.1",
        "A1234567",
        "a" * 64,
        "ABCDE1234F-1",
        "req_sk_live",
    ],
)
def test_a_plain_id_is_taken_over(value: str) -> None:
    assert request_ids.sane(value)
    assert request_ids.of_headers([value]) == value
    with use_request_id(value):  # the client's own copy of the rule
        pass


@pytest.mark.parametrize(
    "value",
    [
        None, "", "a" * 7, "a" * 65, "a" * 10_000,
        "shop-7f3a\n", "shop\n7f3a-1", "shop-7f3a\r\nSet-Cookie: a=b", "shop 7f3a 1",
        "shop\x007f3a", "\x1b[31mshop-7f3a", "shop-7f3a\u202e", "größe-7f3a", "\u0430" * 8,
        "'; DROP TABLE accounts; --", '"shop-7f3a"', "shop%0a7f3a", "${jndi:ldap}", "<b>shop-7f3a",
        "--output=shop", "-shop7f3a", ".shop-7f3a", "../../etc/passwd",
        "asha@example.com", "9876543210", "+919876543210", "98-7654-3210", "1234.5678.9012",
        "ABCDE1234F", "abcde1234f", "29ABCDE1234F1Z5",
        "bk_0wTnrZ1qGg0X2gk7wP8m3m0yq3yJ8m2m0yq3yJ8m2mA", "sk_live_4eC39HqLyjWDarjt",
        "rzp_live_4eC39HqLyjWD", "whsec_MfKQ9r8GKYqrTwjU",
    ],
)  # fmt: skip
def test_an_id_that_could_do_harm_or_name_a_person_is_replaced(value: str | None) -> None:
    assert not request_ids.sane(value)
    if value is not None:
        given = request_ids.of_headers([value])
        assert re.fullmatch("req_[0-9a-f]{32}", given)
        with pytest.raises(InvalidRequest), use_request_id(value):
            pass


def test_a_doubled_header_is_replaced_even_if_both_are_the_same() -> None:
    assert request_ids.of_headers([A_UUID, A_UUID]) != A_UUID


def test_our_own_ids_are_sane_and_new_each_time() -> None:
    made = {request_ids.new() for _ in range(1000)}
    assert len(made) == 1000
    assert all(map(request_ids.sane, made))


def test_an_id_holds_in_its_block_and_thread_alone() -> None:
    with ThreadPoolExecutor(1) as other, request_ids.bound("shop-7f3a"):
        assert request_ids.current() == "shop-7f3a"
        assert other.submit(request_ids.current).result() is None
        with request_ids.bound(None):
            assert request_ids.current() is None
        with pytest.raises(ZeroDivisionError), request_ids.bound("shop-7f3b"):
            _ = 1 / 0
        assert request_ids.current() == "shop-7f3a"
    assert request_ids.current() is None
