"""Cards filled from a plan: pictures made for the panel, models that the firmware takes, apps and settings."""
