"""The command `regie`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; never ends in a traceback."""
    from gateway.cli.app import app
    from gateway.cli.output import report_crash, report_usage

    try:
        app()
    except SystemExit as ended:
        if ended.code == 2:
            report_usage(sys.argv)
        raise
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        raise SystemExit(0) from None
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one line
        raise SystemExit(report_crash(error, sys.argv)) from None
