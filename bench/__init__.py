"""Measures Atelier, and beside it what a user would pick instead. `python -m bench --help` lists what there is."""
