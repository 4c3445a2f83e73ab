"""Payments by Stripe: what is sold, checkout and portal, and what follows from every payment, refund and dispute.

Stripe knows what was paid, billing knows what it is worth. A webhook is only a hint: the object is fetched from Stripe,
and the ledger's business keys (``checkout:<session>``, ``invoice:<id>``, ``refund:<id>``, ``dispute:<id>``) make its
effect happen once.
"""
