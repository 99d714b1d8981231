"""From a call or a webhook to an inbox row, and what a handler of such rows looks like."""
