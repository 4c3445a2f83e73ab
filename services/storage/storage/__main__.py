"""``python -m storage``: see ``--help``."""

import sys

if __name__ == "__main__":
    # Here, because each process for pictures imports this module too, and must not load the whole service for it.
    from kit.cli import main
    from storage.app import build
    from storage.settings import StorageSettings

    sys.exit(main("storage", StorageSettings, build))
