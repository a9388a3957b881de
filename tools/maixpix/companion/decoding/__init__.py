"""Foreign pictures and pages are taken apart in processes of their own: `Decoders` keeps them, `child` runs there."""
