# Answers to questions for names, without I/O: every name leads to one address, so that a telephone that asks for
# anything at all comes to the portal. RFC 1035; what else is asked than an IPv4 address has no answer here (RFC 2308
# 2.2), so that nobody waits for an IPv6 one.

from micropython import const

_HEAD = const(12)
_MOST = const(512)  # bytes of a question over UDP (RFC 1035 2.3.4)
_LABEL = const(63)
_NAME = const(255)
_TTL_S = const(5)  # short: the same name is somebody else's once the portal is closed

_TYPE_A = const(1)
_TYPE_ANY = const(255)
_CLASS_IN = const(1)
_CLASS_ANY = const(255)

_OK = const(0)
_FORMAT_ERROR = const(1)
_NOT_IMPLEMENTED = const(4)
_REFUSED = const(5)


def packed(address):
    # The four bytes of an IPv4 address such as "4.3.2.1".
    return bytes([int(part) for part in address.split(".")])


def answer(query, address):
    # The answer to the datagram `query` (bytes): the four bytes `address` for every name. None for what deserves no
    # answer: what is no question, or too short to be answered.
    if not _HEAD <= len(query) <= _MOST or query[2] & 0x80:
        return None
    if query[2] & 0x78:  # another opcode than QUERY
        return _reply(query, b"", _NOT_IMPLEMENTED)
    end = _question_end(query)
    if not end or query[4:6] != b"\x00\x01":
        return _reply(query, b"", _FORMAT_ERROR)
    kind = query[end - 4] << 8 | query[end - 3]
    group = query[end - 2] << 8 | query[end - 1]
    question = query[_HEAD:end]
    if group != _CLASS_IN and group != _CLASS_ANY:
        return _reply(query, question, _REFUSED)
    if kind != _TYPE_A and kind != _TYPE_ANY:
        return _reply(query, question, _OK)
    # c00c: the name of the question.
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00" + bytes([_TTL_S]) + b"\x00\x04" + address
    return _reply(query, question, _OK, record)


def _question_end(query):
    # Where the first question ends; 0 when it is none. Compressed names do not come in questions.
    at = _HEAD
    while at < len(query):
        length = query[at]
        if not length:
            end = at + 5
            return end if end <= len(query) else 0
        at += length + 1
        if length > _LABEL or at - _HEAD > _NAME:
            return 0
    return 0


def _reply(query, question, code, record=b""):
    # Response, authoritative; recursion is "available" because that is what resolvers want to be told.
    flags = bytes([0x84 | (query[2] & 0x79), 0x80 | code])
    counts = b"\x00\x01" if question else b"\x00\x00"
    counts += b"\x00\x01" if record else b"\x00\x00"
    return query[:2] + flags + counts + b"\x00\x00\x00\x00" + question + record
