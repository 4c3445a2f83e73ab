"""A service as small as possible, shaped like the five, on which the kernel is proved."""
