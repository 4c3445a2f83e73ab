"""The webhook receiver: inboxes that keep what arrives and say whether its Standard Webhooks signature holds."""
