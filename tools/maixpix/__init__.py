"""The maixpix command: everything the PC side of a K210 picture board needs."""
