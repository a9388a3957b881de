"""`maixpix doctor`: what is asked of a board, and what the answers mean."""
