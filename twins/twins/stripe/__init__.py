"""The Stripe twin: Checkout, subscriptions, refunds, disputes and signed webhooks, for the official SDK."""
