# Going on where a fetch stopped, by Range and If-Range (RFC 9110 8.8 and 14), and what proves the whole (RFC 9530).
#
# Here is decided what is asked of the server, and whether what it sends may go behind the bytes that are there.

import ubinascii
from micropython import const

_MAX_VALIDATOR = const(200)  # characters; it has to fit the sidecar


def content_range(text):
    # "bytes 100-199/200" -> (100, 199, 200); -1 three times for anything else, an unknown size included.
    wrong = (-1, -1, -1)
    if text[:6].lower() != "bytes ":
        return wrong
    slash = text.find("/")
    dash = text.find("-")
    numbers = (text[6:dash].strip(), text[dash + 1 : slash].strip(), text[slash + 1 :].strip())
    for number in numbers:
        if dash < 0 or slash < dash or not number.isdigit() or len(number) > 18:
            return wrong
    first, last, total = [int(number) for number in numbers]
    return (first, last, total) if first <= last < total else wrong


def range_fields(at, validator):
    # The fields of a request, (name, value) pairs, that ask for the bytes from `at` on of the version `validator`, or
    # for the whole when the server has another one by now; none when nothing is there yet.
    return [("Range", "bytes=%d-" % at), ("If-Range", validator)] if at else []


def wrong_range(response, at, total, validator, digest):
    # What is wrong with a 206 to a request for the bytes from `at` on of a file of `total` bytes (-1 unknown),
    # `validator` and `digest` ("" unknown); "" when nothing is. A wrong one is worse than none: it puts bytes where
    # they do not belong.
    first, last, told = content_range(response.header("content-range"))
    if first != at or last != told - 1 or total not in (-1, told):
        return "it sends another range"
    if response.length is not None and response.length != told - at:
        return "its range and length differ"
    if validator[:1] == '"' and response.field(b"etag") not in (None, validator.encode()):
        return "the range is of another version"
    if digest and repr_digest(response.header("repr-digest")) not in ("", digest):
        return "the range has another digest"
    return ""


def strong_validator(response):
    # What may stand in If-Range for the content of `response` (a pix.http.Response): its ETag unless weak, else its
    # date unless it changed within the second of the answer (RFC 9110 8.8.2.2), else "".
    if response.header("accept-ranges").lower() == "none":
        return ""
    etag = response.exact("etag")
    if len(etag) > 2 and etag[0] == '"' and etag[-1] == '"' and len(etag) < _MAX_VALIDATOR:
        return etag
    return last_change(response)


def last_change(response):
    # The date of the last change as the server tells it, "" when the content may have changed since within its second.
    modified = response.exact("last-modified")
    date = response.exact("date")
    return modified if modified and date and modified != date and len(modified) < _MAX_VALIDATOR else ""


def repr_digest(text):
    # SHA-256 as hex text out of a Repr-Digest field such as "sha-512=:...:, sha-256=:...:"; "" when there is none.
    for item in text.split(","):
        name, _, value = item.strip().partition("=")
        if name.lower() != "sha-256" or value[:1] != ":":
            continue
        try:
            digest = ubinascii.a2b_base64(value[1:].split(":")[0])
        except ValueError:
            return ""
        if len(digest) == 32:
            return ubinascii.hexlify(digest).decode()
    return ""
