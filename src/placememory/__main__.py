"""``python -m placememory`` is the command ``placememory``."""

from placememory.cli import main

if __name__ == "__main__":
    main()
