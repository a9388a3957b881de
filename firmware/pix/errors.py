# What can go wrong, and what to tell people about it.
#
# One table for the panel's error cards, the console and the log. Every text is plain ASCII; a title has at most 26
# characters, a cause or remedy of the table at most 76 and a cause with its detail 110, so that a card fits a panel of
# 240 or 320 pixels in 8-pixel letters. Longer than 350 lines: one table.

from micropython import const

_LONGEST = const(110)
_COMPANION = "Fetch it through the companion: maixpix serve"

# A record: code, title, cause, remedy ("=": the companion's), and "+" when the trouble is transient: it may be gone
# when the same is tried again. One text and not a dictionary, because it is always in memory and seldom read: 200
# objects cost 9 kB of heap.
TABLE = """

no-modem
No Wi-Fi module
The ESP8285 does not answer
Check the board setting and the power supply
+

modem-firmware
Wrong modem firmware
The ESP8285 runs a firmware that cannot be used here
Flash AT 1.7.4 (NONOS SDK) into the Wi-Fi module

modem-rebooted
Wi-Fi module restarted
The ESP8285 started again by itself
Use a stronger supply or a shorter cable
+

wrong-password
Wrong Wi-Fi password
The network refused the key
Set the key again: maixpix setup --wifi NAME

key-lost
Wi-Fi key forgotten
The Wi-Fi module no longer has the key of the network
Set it up again: hold the board's key, or: maixpix setup --wifi NAME

no-network
Wi-Fi not found
The network is not in the air here
Check its name; it must be a 2.4 GHz network
+

no-address
No address
The network gave no IP address
Check DHCP in the router
+

join-timeout
Wi-Fi takes too long
Joining the network did not end in time
Move closer to the router or restart it
+

wifi-lost
Wi-Fi lost
The network went away
Check the router and the distance to it
+

dns-failed
Server name unknown
The name has no address
Check the name, or use the server's IP address
+

refused
Server refused
Nothing listens at that address and port
Start the server; check address and port
+

connect-timeout
Server out of reach
The server does not answer the connection
Check the address and the server's firewall
+

link-lost
Connection lost
The connection broke off
Try again; check Wi-Fi and server
+

timeout
Server is silent
The server stopped sending
Try again; check the server
+

send-failed
Sending failed
The network did not take the data
Try again; check Wi-Fi and server
+

bytes-lost
Data damaged
Bytes were lost between Wi-Fi module and board
Try again; use a lower baud setting
+

http-status
Server says no
The server answered with an error
Look into the server's log

http-401
Login needed
The server wants a login (401)
Put user:password@ into the URL or set the token

http-403
Not allowed
The server forbids this (403)
Check the rights and the token

http-404
Not found
The server has no such picture (404)
Check the picture's name in the URL

http-5xx
Server in trouble
The server could not do it
Try again later; look into the server's log
+

redirect-loop
Endless redirect
The server sent us on more than 5 times
Use the final address as URL

not-http
Not an HTTP answer
What answers there is no web server
Check that the port is that of a web server

http-version
Unknown kind of HTTP
The server speaks another HTTP than 1.0 or 1.1
Switch HTTP/1.1 on in the server

bad-head
Answer malformed
The head of the server's answer breaks the rules of HTTP
Repair the server or the proxy before it

head-too-long
Answer's head too long
The fields of the answer take too much room
Let the server send fewer or shorter fields and cookies

bad-length
Answer's length unclear
The server does not tell one length of its answer
Repair the server: its Content-Length is wrong

bad-chunks
Answer malformed
The pieces of the server's answer break the rules of HTTP
Repair the server: its chunked coding is wrong

transfer-coding
Unknown transfer coding
The answer comes in a coding that this board cannot undo
Let the server send it plain or chunked

compressed
Compressed answer
The server compressed it though it was asked not to
Switch compression off for pictures there, or use: maixpix serve

no-location
Redirect to nowhere
The server sends us on without an address
Use the final address as URL

no-file
No file in the answer
The server's answer carries no file
Check the URL in a browser

bad-range
Wrong part of the file
The server sent another part of the file than was asked for
Try again; switch ranges off in the server

login-page
Login page in the way
This network wants a login in a browser
Log in with a browser on this network, or use another one

web-page
A web page, no picture
The server sent a web page
Open the URL in a browser; copy the address of the picture itself

endless
Answer without an end
The server told no length and did not stop, like a live stream
Use the address of a still picture, or raise body_kb and body_s

truncated
Answer cut short
The server sent less than it told
Try again; check the server
+

too-long
Answer too long
The server sent more than it told
Repair the server: its Content-Length is wrong

big-answer
Answer too big for memory
It is longer than a program takes at once
Read it with iter_content(), or fetch it to the card

https
https is not possible
The Wi-Fi module has no usable TLS
=

bad-url
Bad address
This is no http URL
Write it as http://host:port/path

digest-mismatch
Data damaged
The file does not match the server's digest
Try again; check the server's file
+

no-card
No SD card
There is no readable card in the slot
Insert a FAT32 card and reset the board

card-full
Card full
There is not enough room on the card
Remove files from the card

card-error
Card error
The card could not be read or written
Push the card in firmly, or use another one

too-much
More than a card holds
The answer is longer than the whole card
Check the URL in a browser; it may be a live stream

not-picture
Not a picture
This is no JPEG or BMP file
Check the URL in a browser

not-jpeg
Kind cannot be shown
MaixPy decodes JPEG and BMP only
=

progressive
Progressive JPEG
MaixPy decodes baseline JPEG only
=

jpeg-kind
Unsupported JPEG
MaixPy cannot decode this kind of JPEG
=

bmp-kind
Unsupported BMP
MaixPy cannot decode this kind of BMP
Save it as 24-bit BMP or baseline JPEG

too-big
Picture too big
It does not fit the board's memory
Let the companion shrink it: maixpix serve

bad-picture
Damaged picture
The file is not a whole picture
Check the file in a browser

no-memory
Out of memory
No block of memory is large enough
Reset the board; use a smaller picture

bad-playlist
Playlist not understood
The list of pictures is malformed
Check the setting playlist, or use: maixpix serve

no-pictures
Nothing to show
The list has no picture that can be shown now
Put pictures into the folder of maixpix serve
+

settings
Wrong settings
A setting is wrong or missing
Correct it: maixpix setup

no-camera
No camera
No camera sensor answers
Push the ribbon cable in and reset the board

sensor-timeout
Camera is silent
The camera delivers no frames
Check the ribbon cable and reset the board
+

bad-answer
Receiver not understood
The receiver's answer is malformed
Check that the address is that of maixpix serve or a tus server

upload-refused
Upload refused
The receiver did not take the file
Look into the receiver's log

update-refused
Update refused
The new software does not prove to be meant for this board
Deploy once more with: maixpix deploy --update

own-app
Error in your program
The app ended with an exception
Correct it, then: maixpix deploy --app FILE

internal
Error in the program
This should not happen
Report it with the output of: maixpix logs

"""


class PixError(Exception):
    # An error that the user can do something about.
    #
    # `code` is one of TABLE, or "http-NNN" for any status. `detail` (text or number, may be empty) is appended to
    # the cause. `transient` is the table's word unless given. Attributes: code, title, cause, remedy, detail,
    # transient. Never give a secret as detail.
    def __init__(self, code, detail="", transient=None):
        self._tell(code, detail, transient)
        super().__init__("%s: %s" % (self.code, self.cause))

    def _tell(self, code, detail, transient):
        record = lookup(code)
        if record is None:
            record = code.startswith("http-") and lookup("http-5xx" if code[5:6] == "5" else "http-status")
            if record:
                detail = detail or code[5:]
            else:
                detail = "%s %s" % (code, detail)
                code = "internal"
                record = lookup(code)
        _, self.title, cause, remedy = record[:4]
        self.remedy = _COMPANION if remedy == "=" else remedy
        # Printable ASCII only: the panel's font has nothing else, and a server's text must not steer a terminal.
        detail = "".join([c if " " <= c <= "~" else "?" for c in str(detail)])
        if detail:
            cause = "%s: %s" % (cause, detail)
        if len(cause) > _LONGEST:
            cause = cause[: _LONGEST - 3] + "..."
        self.code = code
        self.cause = cause
        self.detail = detail
        self.transient = len(record) > 4 if transient is None else transient

    def about(self, name):
        # The same error as one of the file `name`.
        return PixError(self.code, "%s, %s" % (name, self.detail) if self.detail else name, self.transient)

    @property
    def line(self):
        # Everything on one line, as consoles and logs tell it.
        return "%s: %s; %s" % (self.code, self.cause, self.remedy)


def lookup(code):
    # The record of `code` as a list of lines, or None.
    at = TABLE.find("\n\n%s\n" % code) + 2
    return TABLE[at : TABLE.find("\n\n", at)].split("\n") if at > 1 else None
