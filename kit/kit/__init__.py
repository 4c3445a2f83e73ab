"""Plumbing that every service stands on. Knows events, transactions and leases; knows no business word."""
