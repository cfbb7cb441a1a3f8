"""The `yardarm` command. An install without the extra `hub` has it too, and says what is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits."""
    try:
        import typer  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        sys.stderr.write(
            "yardarm: this install has the agent only (`yardarm-agent`). "
            "For the hub and this command: pip install 'yardarm[hub]'\n"
        )
        sys.exit(2)
    from hub.commands import run

    run()


if __name__ == "__main__":
    main()
