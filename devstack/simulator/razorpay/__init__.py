"""A simulator of Razorpay: what it remembers, its rules, its REST API, its webhooks."""
