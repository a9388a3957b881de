"""The SD card of the virtual board: a FAT32 volume made of a folder, served by files (hosted) or by SPI (k210)."""
