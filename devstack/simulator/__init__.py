"""Simulators of Razorpay and Stripe, for development and tests only. Never imported by the product.

One process plays both gateways over HTTP: Razorpay's REST API at `/v1`, Stripe's at `/stripe/v1`,
a checkout page for each, signed webhooks, and switches that make them behave as badly as real
gateways do at times. All state is in memory. `python -m devstack.simulator` starts it.

`world.py` holds everything together; `razorpay/` and `stripe/` know one gateway each; what both
need (switches, chance, the courier of webhooks, faults of the HTTP door) lies beside it.
"""
