"""Entry point of the command ``pairx-plugin``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say which extra brings what it needs."""
    try:
        from .cli.app import app
    except ImportError as error:
        from .errors import MissingExtra

        sys.exit(str(MissingExtra(error.name or "typer", extra="cli", purpose="the command line", cause=error)))
    except KeyboardInterrupt:  # before the command line is there to catch it
        print("interrupted", file=sys.stderr, flush=True)
        sys.exit(130)
    app()


if __name__ == "__main__":
    main()
