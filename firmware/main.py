# Loader: finds the newest whole version on the card, else on the flash, and runs its pix/start.py.
#
# A version is a folder maixpix/a or maixpix/b that holds a file "ready" saying "<8 digits> ok". Deploying fills the
# other folder and writes that file last, so whatever is cut off at whatever point, one whole version is found here.
# Without any (files copied by hand) it runs pix/start.py of the card itself. What goes onto the board is this text
# without comments, in one 512-byte sector, which a card replaces whole or not at all.

import sys

import uos
import utime

for _ in range(30):  # MaixPy mounts the card in the background; a slow one comes after the start
    if "sd" in uos.listdir("/"):
        break
    utime.sleep_ms(100)
best = "/", b"", ""  # ordered: "/" < "/flash" < "/sd", then by number
for home in "/flash", "/sd":
    for slot in "maixpix/a", "maixpix/b":
        try:
            f = open(home + "/" + slot + "/ready", "rb")
            got = f.read()
            f.close()
            if got[-2:] == b"ok":
                best = max(best, (home, got, slot))
        except OSError:
            pass
home, _, slot = best
name = "pix.start"
if slot:
    uos.chdir(home)
    sys.path.insert(0, slot)
    if home == "/flash":  # it has no folders, so no packages
        name = "pix_start"
__import__(name)
sys.modules[name].run(home, slot)
