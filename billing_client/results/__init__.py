"""What the calls return: frozen dataclasses, one module a resource.

Fields have the names of the API's JSON. Money is whole paise (`int`), credit whole credits (`int`),
times are aware datetimes. A field that this version does not know is ignored (`reading.py`).
"""

from billing_client.results.credit import Charge, Hold, HoldState
from billing_client.results.leads import Accepted, LeadState, LeadStatus

__all__ = ["Accepted", "Charge", "Hold", "HoldState", "LeadState", "LeadStatus"]
