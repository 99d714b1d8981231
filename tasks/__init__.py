"""Celery tasks: open a transaction, call one billing function, finish the row."""
