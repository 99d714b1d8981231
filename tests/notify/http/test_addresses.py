"""Where a URL may lead, and how a name is looked up."""

import ipaddress
import threading
import time
from collections.abc import Sequence

import pytest

import settings
from notify.http.addresses import Allowed, Lookups, Refused, destination, judged

PUBLIC = Allowed()
DEVELOPMENT = Allowed(loopback=True)
PRIVATE = Allowed((ipaddress.ip_network("10.2.0.0/16"), ipaddress.ip_network("fd12::/16")))
HOOKS = destination("https://shop.example/hooks", PUBLIC)


class TestDestination:
    @pytest.mark.parametrize(
        ("url", "authority", "target"),
        [
            ("https://shop.example", "shop.example", "/"),
            ("https://SHOP.example./hooks?a=b%20c#part", "shop.example", "/hooks?a=b%20c"),
            ("https://shop.example:8443/?q", "shop.example:8443", "/?q"),
            ("https://[2606:4700::1111]:443/x", "[2606:4700::1111]", "/x"),
        ],
    )
    def test_is_written_safely_into_a_request(self, url: str, authority: str, target: str) -> None:
        found = destination(url, PUBLIC)
        assert (found.authority, found.target) == (authority, target)

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("http://shop.example/", "must start with https://"),
            ("ftp://shop.example/", "must start with https://"),
            ("https://user:secret@shop.example/", "no user and password"),
            ("https://@shop.example/", "no user and password"),
            ("https://shop.example:99999/", "cannot be read"),
            ("https://[::1/", "cannot be read"),
            ("https:///hooks", "a name in ASCII"),
            ("https://bücher.example/", "a name in ASCII"),
            ("https://shop example/", "a name in ASCII"),
            ("https://" + "a." * 127 + "example/", "a name in ASCII"),
            ("https://shop.example/a b", "percent-encode"),
            ("https://shop.example/é", "percent-encode"),
        ],
    )
    def test_that_cannot_be_called_safely_is_refused(self, url: str, why: str) -> None:
        with pytest.raises(Refused, match=why):
            destination(url, PUBLIC)

    def test_without_tls_is_for_this_computer_in_development(self) -> None:
        to = destination("http://localhost:5000/hooks", DEVELOPMENT)
        assert judged(to, DEVELOPMENT, ["127.0.0.1", "::1"]) == ["127.0.0.1", "::1"]
        with pytest.raises(Refused, match="for this computer alone"):
            judged(to, DEVELOPMENT, ["127.0.0.1", "8.8.8.8"])


class TestJudged:
    def test_public_addresses_are_returned_in_their_order_and_once(self) -> None:
        found = ["2606:4700::1111", "8.8.8.8", "8.8.8.8"]
        assert judged(HOOKS, PUBLIC, found) == ["2606:4700::1111", "8.8.8.8"]

    @pytest.mark.parametrize("address", [
        "127.0.0.1", "127.8.9.1", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "192.88.99.1", "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:808:808::f5ff:fffe",
        "2001:2::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1",
        "fc00::1", "fd12::1", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1",
    ])  # fmt: skip
    def test_an_address_that_is_not_public_is_refused_also_beside_one_that_is(
        self, address: str
    ) -> None:
        for found in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
            with pytest.raises(Refused, match="not public"):
                judged(HOOKS, PUBLIC, found)

    @pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"])
    def test_an_address_that_carries_a_public_one_is_public(self, address: str) -> None:
        assert judged(HOOKS, PUBLIC, [address]) == [str(ipaddress.ip_address(address))]

    @pytest.mark.parametrize("address", ["10.2.3.4", "::ffff:10.2.3.4", "fd12::1"])
    def test_an_allowed_network_is_called_and_its_neighbour_is_not(self, address: str) -> None:
        assert judged(HOOKS, PRIVATE, [address, "8.8.8.8"])
        for other in ("10.3.0.1", "fd13::1", "127.0.0.1"):
            with pytest.raises(Refused, match="not public"):
                judged(HOOKS, PRIVATE, [address, other])

    def test_no_address_and_a_crowd_are_refused(self) -> None:
        for found in ([], [f"8.8.8.{number}" for number in range(17)]):
            with pytest.raises(Refused, match="addresses"):
                judged(HOOKS, PUBLIC, found)


class TestAllowed:
    @pytest.mark.parametrize(
        ("environment", "loopback"),
        [
            ({}, False),
            ({"BILLING_DEVELOPMENT_CLOCK": "/nowhere/clock.json"}, True),
            # The clock cannot be read beside a live key, and so nothing is sent at all.
            ({"RAZORPAY_KEY_ID": "rzp_live_1", "RAZORPAY_KEY_SECRET": "s"}, False),
        ],
    )
    def test_loopback_is_of_the_development_stack(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], loopback: bool
    ) -> None:
        monkeypatch.setenv("NOTICE_ALLOW_CIDRS", "10.2.0.0/16, fd12::/16")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings.get.cache_clear()
        try:
            assert Allowed.by_settings() == Allowed(PRIVATE.networks, loopback)
        finally:
            monkeypatch.undo()
            settings.get.cache_clear()

    def test_nothing_is_sent_if_time_is_moved_beside_a_live_key(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BILLING_DEVELOPMENT_CLOCK", "/nowhere/clock.json")
        monkeypatch.setenv("STRIPE_API_KEY", "sk_live_1")
        settings.get.cache_clear()
        try:
            with pytest.raises(settings.SettingsError, match="while a gateway's key is live"):
                Allowed.by_settings()
        finally:
            monkeypatch.undo()
            settings.get.cache_clear()


class TestLookups:
    def test_a_resolver_that_fails_is_refused(self) -> None:
        def fail(_host: str, _port: int) -> Sequence[str]:
            raise OSError("secret.internal")

        with pytest.raises(Refused, match=r"^the name cannot be resolved$"):
            Lookups(fail).find("shop.example", 443, seconds=5)

    def test_a_resolver_that_hangs_is_left_and_asked_once_for_all_who_wait(self) -> None:
        # Given a resolver that hangs for one name
        asked: list[str] = []
        answers = threading.Event()

        def hang(host: str, _port: int) -> Sequence[str]:
            asked.append(host)
            if host == "slow.example":
                answers.wait(10)
            return ["8.8.8.8"]

        lookups = Lookups(hang)
        # When it is asked for, again and again
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(Refused, match="does not answer"):
                lookups.find("slow.example", 443, seconds=0.05)
        # Then nobody waited longer than he would, one thread waits, and others are served
        assert time.monotonic() - began < 2
        assert lookups.find("shop.example", 443, seconds=5) == ["8.8.8.8"]
        assert asked == ["slow.example", "shop.example"]
        # And when it answers at last, the next look-up asks anew
        answers.set()
        assert lookups.find("slow.example", 443, seconds=5) == ["8.8.8.8"]

    def test_the_systems_resolver_reads_every_way_to_write_an_address(self) -> None:
        for host in ("127.1", "2130706433", "0x7f000001", "localhost"):
            found = Lookups().find(host, 443, seconds=5)
            with pytest.raises(Refused, match="not public"):
                judged(HOOKS, PUBLIC, found)
