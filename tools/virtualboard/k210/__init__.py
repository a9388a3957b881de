"""The Kendryte K210 in software: real firmware runs here, one file a peripheral, the CPU cores by Unicorn."""
