"""Contracts that every service agrees on: ids, CloudEvents, topics, events, job inputs, prices.

Imports pydantic and the standard library only, so that any client can install it alone.
"""
