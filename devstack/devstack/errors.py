"""The one error a person sees.

Whatever keeps the stack from starting or staying up is a `StackError`: one line that says what is wrong and
what to do about it. The command line prints that line and leaves with the status 1; it never prints a traceback
for one of these.
"""


class StackError(Exception):
    """What is wrong, and what to do about it, in one line."""
