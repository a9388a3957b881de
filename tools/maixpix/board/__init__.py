"""What is done to a board or its card: the serial link, where files go, installing, settings."""
