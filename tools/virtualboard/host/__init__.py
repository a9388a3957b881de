"""The host's end of the virtual board's cable: its console, RFC 2217, the reset lines, and who types."""
