"""``python -m generation``: see ``--help``."""

import sys

from generation.app import build
from generation.settings import GenerationSettings
from kit.cli import main

if __name__ == "__main__":
    sys.exit(main("generation", GenerationSettings, build))
