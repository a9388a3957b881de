"""The network behind the modem: links to real sockets on this machine, or to peers scripted in virtual time.

Only what a small TCP stack makes visible is modelled: a window of two segments towards the module, Nagle's rule and
the peer's delayed acknowledgements away from it, round trips, refusals, resets and silence. Both directions of the
radio are fast compared with the serial line; `SEGMENT_GAP_NS` is all the time that a segment takes on it.

Real peers live in real time. Their bytes are read at the virtual instants at which a segment may arrive; when there
are none, the link *waits*, and a `clock.watch` keeps virtual time from passing real time. Waiting begins at once when
the peer is about to speak (it was just asked something, or was in the middle of a burst), else as soon as the module's
serial lines have been quiet for `QUIET_NS`: a board that is busy uploading does not wait for anybody.
"""

from virtualboard.network.bridge import Bridge
from virtualboard.network.datagrams import Datagrams
from virtualboard.network.network import Network
from virtualboard.network.patience import QUIET_NS
from virtualboard.network.script import Script
from virtualboard.network.tcp import MSS, SEGMENT_GAP_NS, WINDOW, Peer
from virtualboard.network.visitor import Visitor

__all__ = [
    "MSS",
    "QUIET_NS",
    "SEGMENT_GAP_NS",
    "WINDOW",
    "Bridge",
    "Datagrams",
    "Network",
    "Peer",
    "Script",
    "Visitor",
]
