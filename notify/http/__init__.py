"""HTTP to strangers: whatever address a platform gives, nothing inside our network is reached.

`addresses.py` judges where a name leads, `connections.py` goes there and nowhere else, `sender.py`
makes of an exchange the `Answer` that the rules of `billing/notices` judge. Nothing of a proxy,
`.netrc`, cookie or redirect is used, and nothing that a stranger answered is logged. Why no library
sends: docs/decisions/0012-own-http-sender.md.
"""

from notify.http.addresses import Allowed, require_callable
from notify.http.sender import WHOLE_SECONDS, Sender
from notify.http.signed import headers_of

__all__ = ["WHOLE_SECONDS", "Allowed", "Sender", "headers_of", "require_callable"]
