"""Payments: checkout, the gateways' events, and asking the gateways."""
