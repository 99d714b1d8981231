"""What all pages have in common: strict headers, errors that people can read, and probes."""

import pytest

import settings
from tests.web.web_process import WebProcess, text_of
from web.kit import static_files


@pytest.mark.parametrize("path", ["/l/x", "/no/such/page", "/healthz"])
def test_each_answer_forbids_all_that_a_page_does_not_need(web: WebProcess, path: str) -> None:
    headers = web.get(path).headers

    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; ")
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "noindex" in headers["x-robots-tag"]
    assert "set-cookie" not in headers


def test_the_look_is_kept_under_the_address_that_names_its_bytes(web: WebProcess) -> None:
    page = web.get("/l/x").body.decode()
    [address] = [part for part in page.split('"') if part.endswith("/page.css")]

    look = web.get(address)

    assert look.status == 200
    assert look.headers["content-type"] == "text/css; charset=utf-8"
    assert look.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert web.get("/static/000000000000/page.css").headers["cache-control"] == "no-store"
    assert web.get("/static/000000000000/..%2Fpages.py").status == 404
    assert web.get("/static/000000000000/pages.py").status == 404


def test_below_a_path_of_a_proxy_the_look_is_found_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_URL", "https://billing.example/pages")
    settings.get.cache_clear()

    assert static_files.address("page.css").startswith("/pages/static/")

    monkeypatch.undo()
    settings.get.cache_clear()


def test_errors_are_pages_with_a_number_to_ask_by(web: WebProcess) -> None:
    unknown = web.get("/no/such/page")
    wrong_method = web.request("DELETE", "/l/x")
    too_long = web.request("POST", "/l/x", b"x" * 70_000)

    assert (unknown.status, wrong_method.status, too_long.status) == (404, 405, 413)
    assert wrong_method.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    for answer in (unknown, wrong_method, too_long):
        assert answer.headers["x-request-id"] in text_of(answer)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "There is no such page" in text_of(unknown)


def test_probes_say_that_it_lives_and_that_it_serves(web: WebProcess) -> None:
    assert web.get("/healthz").body == b"alive\n"
    assert web.get("/readyz").body == b"ready\n"
