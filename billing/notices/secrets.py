"""The secrets of endpoints: made, encrypted, rotated. Used by `endpoints` and `leases`."""
