"""``python -m toy``: see ``--help``."""

import sys

from kit.cli import main
from toy.app import ToySettings, build

if __name__ == "__main__":
    sys.exit(main("toy", ToySettings, build))
