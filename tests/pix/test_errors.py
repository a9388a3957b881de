"""pix.errors: every sentence fits a card, and nothing untidy gets into one."""

import string

import pytest

# fmt: off
CODES = {
    "no-modem", "modem-firmware", "modem-rebooted", "wrong-password", "no-network", "no-address", "join-timeout",
    "wifi-lost", "dns-failed", "refused", "connect-timeout", "link-lost", "timeout", "send-failed", "bytes-lost",
    "http-status", "redirect-loop", "not-http", "http-version", "bad-head", "head-too-long", "bad-length", "bad-chunks",
    "transfer-coding", "compressed", "no-location", "no-file", "bad-range", "login-page", "web-page", "endless",
    "bad-answer", "truncated", "too-long", "https", "bad-url", "digest-mismatch", "no-card",
    "card-full", "card-error", "not-picture", "not-jpeg", "progressive", "jpeg-kind", "bmp-kind", "too-big",
    "bad-picture", "no-memory", "settings", "no-camera", "sensor-timeout", "upload-refused", "internal",
}
# fmt: on


def test_every_code_has_words_that_fit_a_card(pix_modules):
    errors = pix_modules.load("errors")
    records = [record.split("\n") for record in errors.TABLE.strip("\n").split("\n\n")]
    assert {record[0] for record in records} >= CODES
    for code, title, cause, remedy, *again in records:
        told = errors.PixError(code).remedy
        assert remedy in (told, "=") and ("maixpix serve" in told or remedy != "="), code
        assert 0 < len(title) <= 26 and 0 < len(cause) <= 76 and 1 < len(told) <= 76, code
        assert (title + cause + told).isascii() and (title + cause + told).isprintable()
        assert again in ([], ["+"]), code
        assert errors.lookup(code) == [code, title, cause, remedy, *again]


@pytest.mark.parametrize(
    ("code", "title", "transient"),
    [("http-404", "Not found", False), ("http-418", "Server says no", False), ("http-503", "Server in trouble", True)],
)
def test_statuses(pix_modules, code, title, transient):
    error = pix_modules.PixError(code)
    assert (error.code, error.title, error.transient) == (code, title, transient)
    assert code[5:] in error.cause
    assert error.args[0].startswith(code + ": ")


def test_one_line_tells_everything(pix_modules):
    error = pix_modules.PixError("refused", "pc:80")
    assert error.line == f"refused: {error.cause}; {error.remedy}" and error.cause.endswith(": pc:80")


def test_details_are_made_fit(pix_modules):
    error = pix_modules.PixError("settings", "wifi[0]\r\n\x1b[2Jé" + "x" * 200)
    assert len(error.cause) == 110 and error.cause.endswith("...")
    assert set(error.cause) <= set(string.printable) - set("\r\n\x1b")
    assert pix_modules.PixError("http-404", "").cause == pix_modules.load("errors").lookup("http-404")[2]


def test_an_unknown_code_is_a_fault_of_ours(pix_modules):
    assert pix_modules.PixError("no-such-code", 7).code == "internal"


@pytest.mark.parametrize(
    ("args", "code"),
    [((19,), "no-card"), ((28,), "card-full"), ((5,), "card-error"), (("text",), "card-error"), ((), "card-error")],
)
def test_errors_of_the_file_system(pix_modules, args, code):
    error = pix_modules.load("files").from_os(OSError(*args), "/sd/x")
    assert error.code == code and "/sd/x" in error.cause
