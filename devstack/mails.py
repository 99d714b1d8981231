"""Where the mails of the stack go: to its own sink, unless a person set SMTP_URL.

Called by `plan.py`.
"""

import os
from collections.abc import Mapping

from devstack import ports

SINK = "sink"
"""The name of the process, and of its page's port."""
SINK_SMTP = "sink_smtp"
"""The name of the port on which it takes mails."""
SINK_COMMAND = "python -m devstack.mail_sink"
VARIABLES = ("SMTP_URL", "MAIL_FROM", "WEB_URL", "WEB_SECRETS", "NOTICE_ALLOW_CIDRS")
"""What the running stack fills in for `billing` and others, if nobody sets it."""
FROM = "Demo billing <billing@billing.example>"


def go_to_sink() -> bool:
    """Tell whether the environment leaves the mails to the sink."""
    return not os.environ.get("SMTP_URL", "").strip()


def sink_environment(listening: Mapping[str, int]) -> dict[str, str]:
    """Return what makes the processes send their mails to the sink."""
    return {
        "SMTP_URL": f"smtp://{ports.HOST}:{listening[SINK_SMTP]}",
        "MAIL_FROM": os.environ.get("MAIL_FROM") or FROM,
    }
