"""`maixpix demo`: both ways of a picture on a virtual board, judged."""
