"""The version of the client: the wheel, `billing_client.__version__` and the User-Agent read it."""

__version__ = "0.1.0"
