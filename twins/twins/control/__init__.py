"""The control API: what tests and people use to look behind a twin's back and to script its faults."""
