"""The pages as they run in production, and the way to press their buttons."""

import html
import re
from urllib.parse import urlencode, urlsplit

from tests.server_process import Answer, ServerProcess

SECRET = "the-web-secret-of-the-tests-32-or-more"
FORM = ("content-type", "application/x-www-form-urlencoded")


class WebProcess(ServerProcess):
    """One server of pages."""

    name = "web"
    secret_headers = frozenset()

    def open(self, url: str) -> Answer:
        """GET an address as it stands in a mail."""
        return self.get(urlsplit(url).path)

    def press(self, url: str, **form: str) -> Answer:
        """POST a form to an address as it stands in a mail."""
        return self.request("POST", urlsplit(url).path, urlencode(form).encode(), [FORM])


def text_of(answer: Answer) -> str:
    """What a reader of a page sees, blanks made one."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    body = re.sub(r"(?s)<head>.*?</head>|<[^>]+>", " ", answer.body.decode())
    return " ".join(html.unescape(body).split())
