"""Refunds and chargebacks: the Celery door, submission, settlement."""
