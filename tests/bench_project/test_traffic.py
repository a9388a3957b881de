"""An example: somebody's program, written for MaixPy's stock modules, on the virtual board. Works on both engines."""

import pytest


def colour_server(colour):
    return lambda request: colour if request.target == "/colour" else (404, {}, b"")


@pytest.mark.parametrize("colour", ["red", "green"])
def test_the_light_shows_what_the_server_says(board, colour):
    board.serve(colour_server(colour))
    done = board.run("traffic.py")
    assert done.ok, done.traceback
    assert board.panel.image().getpixel((200, 200)) == {"red": (255, 0, 0), "green": (0, 255, 0)}[colour]
    assert any(command.startswith("AT+CIPSTART") for command in board.modem.commands)
    board.check_screen(colour)


@pytest.mark.board(wifi=[("elsewhere", "key")])
def test_without_its_network_it_says_so(board):
    done = board.run("traffic.py")
    assert not done.ok and "OSError" in done.traceback
