"""``python -m gateway``: see ``--help``."""

import sys

from gateway import cli
from gateway.app import build
from gateway.settings import GatewaySettings
from kit.cli import main

if __name__ == "__main__":
    sys.exit(main("gateway", GatewaySettings, build, extend=cli.extend))
