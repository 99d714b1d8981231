"""The development stack: embedded PostgreSQL and Redis, and every process of the Procfile.

For `make run`, `make smoke` and the tests. A tool beside the product, which never imports it.
"""
