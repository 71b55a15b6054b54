"""`python -m specflow` is `specflow`."""

import sys

from specflow.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
