"""A simulator of Stripe, as far as one-off payments by Checkout need it."""
