# pix: pictures to and from a K210 board, on MaixPy v1 and an ESP8285 with AT firmware.
