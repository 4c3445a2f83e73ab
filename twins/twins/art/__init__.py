"""Procedural pictures: every prompt becomes an illustration that is pleasant to look at, without any model.

`spec` names a picture and `flat` makes the cheapest valid one; only `render` and what it imports needs skia.
"""
