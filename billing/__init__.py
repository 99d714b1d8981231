"""The rules of credit: ledger, lots, pricing, leads. Knows neither Celery nor Flask.

Every function takes an open session as its first argument and never commits.
"""
