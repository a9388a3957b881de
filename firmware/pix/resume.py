# Fields of HTTP that make a transfer resumable and provable (RFC 9110 8.8 and 14, RFC 9530).

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


def strong_validator(response):
    # What may stand in If-Range for the content of `response` (a pix.http.Response): its ETag unless weak, else its
    # date unless it changed within the second of the answer (RFC 9110 8.8.2.2), else "".
    if response.header("accept-ranges", "").lower() == "none":
        return ""
    etag = response.header("etag", "")
    if len(etag) > 2 and etag[0] == '"' and etag[-1] == '"' and len(etag) < _MAX_VALIDATOR:
        return etag
    modified = response.header("last-modified", "")
    date = response.header("date", "")
    if modified and date and modified != date and len(modified) < _MAX_VALIDATOR:
        return modified
    return ""


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
