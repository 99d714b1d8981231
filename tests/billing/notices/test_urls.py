"""Which addresses an endpoint may have, by their form."""

import pytest

from billing.notices import InvalidEndpoint, urls


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://shop.example/hooks?a=1", "https://shop.example/hooks?a=1"),
        ("https://SHOP.example", "https://shop.example/"),
        ("https://shop.example.:8443/x", "https://shop.example:8443/x"),
        ("https://shop.example:443/x", "https://shop.example:443/x"),
        ("https://10.0.0.7:3000/x", "https://10.0.0.7:3000/x"),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]/x"),
        ("https://दुकान.example/x", "https://xn--11b7ah1gn.example/x"),
    ],
)
def test_an_address_is_kept_in_one_form(given: str, kept: str) -> None:
    assert urls.checked(given, loopback_http=False) == kept


@pytest.mark.parametrize(
    "given",
    [
        "http://shop.example/x",
        "ftp://shop.example/x",
        "shop.example/x",
        "https:///x",
        "https://user:secret@shop.example/x",
        "https://shop.example@evil.example/x",
        "https://shop.example/x#here",
        "https://shop.example:22/x",
        "https://shop.example:80/x",
        "https://shop.example:0/x",
        "https://shop.example:99999/x",
        "https://shop.example:https/x",
        "https://shop example/x",
        "https://shop.example/a b",
        "https://shop.example/a\r\nHost: evil",
        "https://shop.example\\@evil.example/",
        "https://shop..example/x",
        "https://-shop.example/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f.0.0.1/x",
        "https://[::1/x",
        "https://[fe80::1%25eth0]/x",
        "https://" + "a." * 140 + "example/x",
        "https://shop.example/" + "x" * 2000,
        "http://127.0.0.1:5000/x",
    ],
)
def test_what_is_no_safe_address_is_refused_without_repeating_it(given: str) -> None:
    with pytest.raises(InvalidEndpoint) as caught:
        urls.checked(given, loopback_http=False)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost:80", "[::1]:8080"])
def test_plain_http_is_for_this_computer_alone_if_it_is_allowed(host: str) -> None:
    assert urls.checked(f"http://{host}/x", loopback_http=True) == f"http://{host}/x"
    with pytest.raises(InvalidEndpoint):
        urls.checked("http://shop.example/x", loopback_http=True)
