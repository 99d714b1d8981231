"""Stripe: its SDK, its webhooks, and what its fields mean."""
