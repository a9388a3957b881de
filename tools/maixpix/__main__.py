"""`python -m maixpix` is the `maixpix` command."""

from maixpix.cli import main

main()
