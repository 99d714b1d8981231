"""The payment gateways: clients and webhooks behind one protocol. Their types stay in here."""
