"""Keeps what this process is made of out of the searches of `gc.collect()`.

A device program's `gc.collect()` is CPython's own, and searches all that the test run has made so far, though only what
the program itself makes can be its garbage. So everything there is gets set aside before a program runs; now and then
it is put back and searched, so that boards of finished tests do go.
"""

import gc

_EVERY = 50

_times = 0


def set_aside() -> None:
    """To be called just before device code runs in this process."""
    global _times
    _times += 1
    if _times % _EVERY == 0:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
