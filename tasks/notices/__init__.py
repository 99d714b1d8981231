"""Notices on their way: a task leases what is due and hands it to `notify`."""
