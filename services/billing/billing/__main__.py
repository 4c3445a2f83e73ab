"""``python -m billing``: see ``--help``."""

import sys

from billing import cli
from billing.app import build
from billing.settings import BillingSettings
from kit.cli import main

if __name__ == "__main__":
    sys.exit(main("billing", BillingSettings, build, extend=cli.extend))
