"""What the outside world speaks: signatures and payment gateways. Their types stay in here."""
