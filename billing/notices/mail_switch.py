"""Whether this installation sends mail at all: SMTP_URL decides."""

import settings

OFF = "mail is off: SMTP_URL is not set"


def off_because() -> str | None:
    """Return why no mail is sent, for rows and for `billing status`; None: mail is on."""
    return None if settings.get().smtp_url else OFF
