"""``python -m storage``: see ``--help``."""

import sys

from kit.cli import main
from storage.app import build
from storage.settings import StorageSettings

if __name__ == "__main__":
    sys.exit(main("storage", StorageSettings, build))
