"""The mail sink of the development stack: takes every mail by SMTP, sends none on, shows them.

A development tool: nothing of the product imports it.
"""
