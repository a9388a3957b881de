# Loader: finds the newest whole version on the card, else on the flash, and runs its pix/start.py.
#
# A version is a folder maixpix/a or maixpix/b that holds a file "ready" saying "<8 digits> ok". Deploying fills the
# other folder and writes that file last, so whatever is cut off at whatever point, one whole version is found here.
# A version that came through the air says "<8 digits> 3" until it has proven itself; each start counts that down in
# place, under a watchdog, and at 0 it is no choice any more (pix/update.py). Without any version (files copied by hand)
# it runs pix/start.py of the card itself. What goes onto the board is this text without comments and with short names,
# in one 512-byte sector, which a card replaces whole or not at all.

import machine, sys, time, uos  # noqa: E401, I001 - each line more costs bytes of the sector

for _ in range(9):  # MaixPy mounts the card in the background; a slow one comes after the start
    if "sd" in uos.listdir("/"):
        break
    time.sleep(0.3)
best = "/", b"", ""  # ordered: "/" < "/flash" < "/sd", then by number
for home in "/flash", "/sd":
    for slot in "maixpix/a", "maixpix/b":
        try:
            with open(home + "/" + slot + "/ready", "rb") as file:
                state = file.read()
            if state[9:] > b"0":  # "ok", or 1 to 3 starts left
                best = max(best, (home, state, slot))
        except OSError:
            pass
home, state, slot = best
name = "pix.start"
if slot:
    uos.chdir(home)
    sys.path.insert(0, slot)
    if state[9:] < b"o":
        machine.WDT()  # number 0, 5 s: pix/start.py takes over
        with open(slot + "/ready", "r+") as file:
            file.seek(9)
            file.write(chr(state[9] - 1))
    if home < "/s":  # the flash has no folders, so no packages
        name = "pix_start"
__import__(name)
sys.modules[name].run(home, slot)
