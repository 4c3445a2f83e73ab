"""Stand-ins for outside providers that speak their real wire protocol, for the demo and for tests.

No service imports this package: production adapters reach a twin only because their base URL points at one.
"""
