# Resumable uploads over HTTP: a client of tus 1.0.0 (core, creation, creation-with-upload, checksum).
#
# A small file is one POST with everything in it; so is one of a few seconds at a server that has taken such a POST
# before. A larger one, and one whose POST broke off, is created first, so that its URL is noted on the card before a
# byte of it is under way, and then goes in pieces; after any break, HEAD tells where to go on.

import ubinascii
from micropython import const

from pix import http
from pix.errors import PixError
from pix.files import sum_of
from pix.resume import repr_digest
from pix.url import resolve

_SMALL = const(65536)  # bytes: what a break may cost anywhere, 5.7 s at 115200 baud
_WHOLE_S = const(5)  # what it may cost of the line where nothing else is in doubt: saves a connection and a round trip
_PIECE = const(131072)  # bytes under one checksum: the server drops the whole piece when it breaks off
_MAX_LOCATION = const(300)  # characters; it has to fit the note


def send(up, job):
    # One attempt for the Job of the Uploader `up`. Raises PixError; transient ones are worth another attempt.
    if job.location:
        job.offset = -1
    else:
        _create(up, job)
    while job.offset != job.size:
        if job.offset < 0:
            _ask_offset(up, job)
        else:
            _patch(up, job)
    if not job.proven:
        up.tells = False


def _create(up, job):
    known = up.takes and job.attempts == 1
    whole = job.size <= _SMALL or (known and job.size <= getattr(up.connector, "baud", 0) // 10 * _WHOLE_S)
    # Some servers (tuspyserver) insist on a filetype.
    kind = "image/jpeg" if job.name[-4:].lower() == ".jpg" else "application/octet-stream"
    facts = ""
    for name, value in (("filename", job.name), ("filetype", kind), ("sha256", job.digest), ("board", up.board)):
        if value:
            facts += ",%s %s" % (name, http.base64(value.encode()))
    fields = [("Upload-Length", str(job.size)), ("Upload-Metadata", facts[1:])]
    checked = False
    if whole:
        # Told twice, because a byte changed in the name of a field makes it go unread.
        fields.append(("Repr-Digest", "sha-256=:%s:" % http.base64(ubinascii.unhexlify(job.digest))))
        checked = up.tells is False and _sums(up, job)
        _body(up, job, fields, 0, job.size, checked)
    response = _request(up, job, "POST", up.url, fields, 0, job.size if whole else 0)
    if response.status != 201:
        raise _refusal(job, response)
    location = response.location()
    if not location:
        raise PixError("bad-answer", "status 201 without Location")
    job.offset = _offset(job, response, 0)
    location = resolve(up.url, location).text()
    if len(location) > _MAX_LOCATION:
        raise PixError("upload-refused", "its URL is too long")
    job.proven = checked
    if whole:
        up.takes = job.offset == job.size
    if job.offset != job.size:
        job.keep(location)
    _finished(up, job, response)


def _ask_offset(up, job):
    response = _request(up, job, "HEAD", resolve(up.url, job.location), [])
    _check(job, response)
    job.offset = _offset(job, response, -1)
    if job.offset < 0:
        # Whatever is there is no tus server, such as a page to log in at: the next attempt begins anew.
        job.keep("")
        raise PixError("bad-answer", "HEAD tells no offset")
    job.resumed = max(job.resumed, job.offset if job.attempts == 1 else 0)
    _finished(up, job, response)


def _patch(up, job):
    at = job.offset
    checked = not up.tells and _sums(up, job)
    end = min(job.size, at + _PIECE) if checked else job.size
    fields = [("Upload-Offset", str(at))]
    _body(up, job, fields, at, end, checked)
    job.offset = -1
    response = _request(up, job, "PATCH", resolve(up.url, job.location), fields, at, end)
    if response.status == 409:
        # The server is somewhere else: an earlier connection got further than we know.
        return
    _check(job, response)
    now = _offset(job, response, -1)
    if now < 0:
        return  # it must tell (tus 1.0, PATCH): a page to log in at says 200 as well, so ask
    if now <= at:
        raise PixError("bad-answer", "the offset does not grow")
    job.offset = now
    job.proven = checked
    _finished(up, job, response)


def _finished(up, job, response):
    # What an answer with a new offset means.
    job.safe = max(job.safe, job.offset)
    job.tell(job.offset)
    if job.offset != job.size:
        return
    told = repr_digest(response.header("repr-digest"))
    if told and told != job.digest:
        job.keep("")
        raise PixError("digest-mismatch")
    if told:
        job.proven = up.tells = True


def _sums(up, job):
    # Does the server take SHA-256 sums of pieces? (The chip has no other engine.) Asked once.
    if up.sums is None:
        response = _request(up, job, "OPTIONS", up.url, [])
        names = response.header("tus-checksum-algorithm").replace(" ", "").split(",")
        up.sums = response.status // 100 == 2 and "sha256" in names
    return up.sums


def _body(up, job, fields, at, end, checked):
    # Add the fields of a body; `checked`: with its sum, which costs a second reading of it.
    fields.append(("Content-Type", "application/offset+octet-stream"))
    if checked:
        digest = job.digest if end - at == job.size else sum_of(job.path, at, end, up.view)
        fields.append(("Upload-Checksum", "sha256 " + http.base64(ubinascii.unhexlify(digest))))


def _request(up, job, method, where, fields, at=0, end=0):
    # One request with the file's bytes from `at` to `end`; returns the pix.http.Response, its head read.
    fields = [("Tus-Resumable", "1.0.0")] + fields
    if method in ("POST", "PATCH"):
        fields.append(("Content-Length", str(end - at)))
    head = http.request(method, where, fields, up.token if up.url.same_origin(where) else "")
    link = up.connect(job, where)
    response = http.Response(link, method)
    failure = None
    try:
        try:
            job.stream(link, head, at, end)
        except PixError as error:
            if error.code not in ("link-lost", "send-failed"):
                raise
            failure = error  # a server that refuses answers early and closes
        try:
            response.read_head()
            response.sure(up.view)
        except PixError as error:
            if failure is None:
                response.doubt(error, up.view)
            raise failure or error
    finally:
        link.close()
    return response


def _offset(job, response, default):
    text = response.header("upload-offset")
    if not text:
        return default
    if not text.isdigit() or len(text) > 15 or int(text) > job.size:
        raise PixError("bad-answer", "Upload-Offset %s" % text[:20])
    return int(text)


def _check(job, response):
    # Raise unless the server has done what it was asked to do with an upload that it knows.
    status = response.status
    if status in (403, 404, 410):
        # It expired, or the server lost it: begin anew.
        job.keep("")
        raise PixError("upload-refused", "it is gone, status %d" % status, True)
    if status // 100 != 2:
        raise _refusal(job, response)


def _refusal(job, response):
    # What a status that is no success means.
    status = response.status
    if status == 460:
        return PixError("digest-mismatch")
    if status in (400, 412, 413, 415):
        return PixError("upload-refused", "status %d" % status)
    job.wait_for(response)
    # The table's word, unless it is one that may pass.
    return PixError("http-%d" % status, "", True if status in (408, 409, 423, 425, 429) else None)
