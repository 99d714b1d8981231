"""Speed and memory, measured side by side in one run: `make bench`.

A tool beside the product, which never imports it. It prints ratios and asserts only what must be
right at any speed: every event recorded, every lead charged once, a clean ledger.
"""
