"""Entry point of the `specflow` command, and of `python -m specflow`."""

import sys

__all__ = ["main"]


def main() -> int:
    """Runs the command line.

    Returns:
        The status; 130 also after an interrupt while the command line is imported.
    """
    try:
        from specflow.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
