"""`python -m gateway.cli` is `regie`."""

from gateway.cli import main

main()
