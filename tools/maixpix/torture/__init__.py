"""Seeded runs of the board's apps while everything goes wrong, and the laws that must hold all the same."""
