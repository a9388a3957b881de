"""Firmware: what a file is, what is to be written where, and writing it by kflash."""
