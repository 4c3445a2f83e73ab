"""``python -m publishing``: see ``--help``."""

import sys

from kit.cli import main
from publishing.app import build
from publishing.settings import PublishingSettings

if __name__ == "__main__":
    sys.exit(main("publishing", PublishingSettings, build))
