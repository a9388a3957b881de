"""Receiving pictures: two doors (tus over HTTP, raw TCP) into one store."""
