# The one thing of EXIF that matters to a panel: how the camera was held (CIPA DC-008, tag 0x0112).

_MOST_ENTRIES = 64


def orientation(f, at, end):
    # 1 to 8 as the TIFF header at offset `at` of the open file tells it; 1 when it says nothing or nothing sensible
    # before `end`. Raises OSError of the card.
    f.seek(at)
    head = f.read(8)
    order = "big" if head[:2] == b"MM" else "little"
    if head[:4] not in (b"MM\0*", b"II*\0"):
        return 1
    at += int.from_bytes(head[4:8], order)
    if at + 2 > end:
        return 1
    f.seek(at)
    for _ in range(min(_MOST_ENTRIES, int.from_bytes(f.read(2), order))):
        entry = f.read(12)
        if len(entry) < 12:
            break
        if int.from_bytes(entry[:2], order) == 0x0112:
            value = int.from_bytes(entry[8:10], order)
            return value if 1 <= value <= 8 else 1
    return 1
