"""The pages that links in mails open: to unsubscribe, to confirm an address, to pay for a renewal.

The token in the address is the proof: there is no cookie, and so nothing for another site to abuse.
Only POST acts. What is in a token: `billing/notices/mail_links.py`.
"""

from web.links.signed_link import signed_links
from web.links.unsubscribe import unsubscribing

__all__ = ["signed_links", "unsubscribing"]
