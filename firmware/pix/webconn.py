# One client of the web service, from its first byte to the closed link: what it may take, and how long.
#
# Browsers open links that they never use, telephones vanish in the middle of a request, and some readers are slow: each
# state has its own limit, and whatever happens ends with the link given back.
#
# Longer than 350 lines: the states of one client share all that is known of it.

import gc

import utime
from micropython import const

from pix.errors import PixError
from pix.webreq import Fields, Head, WebError, attribute, pairs_of
from pix.webres import Response, date_text, error_page, made

_IDLE_MS = const(2000)  # for the first byte: links that browsers open ahead
_CROWDED_MS = const(300)  # the same when all links are taken
_SILENT_MS = const(5000)  # between two pieces of a request
_HEAD_MS = const(10000)  # for the whole head
_SLOW_MS = const(10000)  # until the next piece of an answer can go out
_SLOW_CROWDED_MS = const(3000)
_DRAIN_MS = const(1500)  # for what comes of a body that nobody wanted, so that the answer is not lost by a reset
_DRAIN_BYTES = const(65536)
_MOST_BODY = const(8192)
_READ = const(512)
_LOW_MEMORY = const(24576)  # bytes; with less, requests are put off
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_MEMORY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 16\r\nRetry-After: 5\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\nMemory is short\n"
)

_HEAD = const(0)
_BODY = const(1)
_WHOLE = const(2)  # all of the request is there
_ANSWER = const(3)
_SETTLE = const(4)
_DRAIN = const(5)


class Conn:
    # A client at `link` (a pix.atlink.Link) of the server `web`. Call `step` until `over`, then `end`.
    def __init__(self, web, link):
        self.moved_at = utime.ticks_ms()  # when something moved last
        self.over = False
        self.sent = False  # the last step has sent something
        self.waits = False  # it had no time
        self._web = web
        self._link = link
        self._came_at = self.moved_at
        self._state = _HEAD
        self._head = Head()
        self._request = None
        self._function = None
        self._left = 0  # bytes of the body that have not come
        self._body = b""
        self._form = None
        self._files = []
        self._response = None
        self._begun = False  # some of the answer is out
        self._drained = 0  # what had arrived when the rest of a body began to be thrown away

    def put_off(self, ms):
        # For `ms` nobody looked: what the client has done meanwhile shows only now.
        now = utime.ticks_ms()
        self.moved_at = _later(self.moved_at, ms, now)
        self._came_at = _later(self._came_at, ms, now)

    def step(self, long, most, room):
        # Do one thing; True when something was done. `long`: a handler may run. `most`: bytes that a segment may have,
        # 0 while the module may be given no command; `room`: what there is time for. `waits` tells that something was
        # put off for want of time.
        self.sent = False
        self.waits = False
        if self.over:
            return False
        link = self._link
        try:
            if link.error and link.error != "link-lost":
                raise PixError(link.error)
            if link.error or (link.closed and self._state >= _ANSWER):
                self.over = True
            elif self._state <= _BODY:
                return self._read()
            elif self._state == _WHOLE:
                if not long:
                    self.waits = most > 0
                    return False
                self._guarded(self._complete)
            elif self._state == _ANSWER:
                return most > 0 and self._send(most, room)
            elif self._state == _SETTLE:
                return self._settle()
            else:
                return self._drain()
        except PixError as error:
            self.over = True
            if error.code != "link-lost":  # that is what a client that went away looks like
                self._web.note(error)
        except MemoryError as error:
            self._short(error)
        return True

    def reads(self, link):
        # True when the next step takes what comes of `link`.
        return link is self._link and not self.over and not link.error and self._state <= _BODY

    @property
    def behind(self):
        # True while some of the request has come and was not read.
        return self._state <= _BODY and not self.over and self._link.held > 0

    def among(self, numbers):
        # True unless the module, which has just told the `numbers` of its open links, has no such link although nobody
        # said that it was closed.
        link = self._link
        if link.number in numbers or link.closed or link.error:
            return True
        link.closed = True
        return False

    def end(self):
        # Give back what is held, the link first of all.
        self.over = True
        link = self._link
        link.close(abort=not link.settled)
        self._drop()
        response = self._response
        self._response = None
        if response is not None:
            try:
                response.close()
            except Exception as error:  # noqa: BLE001 - a generator may raise anything
                self._web.note(error)

    # -- the request --------------------------------------------------------------------------------------

    def _read(self):
        view = self._web.view[:_READ]
        got = self._link.take(view)
        now = utime.ticks_ms()
        if got < 0:
            self.over = True
        elif got:
            self.moved_at = now
            self._guarded(self._came, bytes(view[:got]))
        else:
            return self._guarded(self._late, now)
        return True

    def _guarded(self, action, *args):
        # action(*args), whose errors become answers.
        web = self._web
        try:
            return action(*args)
        except WebError as error:
            self._fail(error)
        except PixError as error:
            if self._link.error or self._link.closed:
                raise  # the client is gone
            # The card, or whatever the handler has used.
            web.note(error)
            self._fail(WebError(413 if error.code == "card-full" else 500, "%s. %s." % (error.cause, error.remedy)))
        return True

    def _late(self, now):
        # True when the client's time is over.
        silent = utime.ticks_diff(now, self.moved_at)
        if self._state == _HEAD and not self._head.begun:
            crowded = self._web.busy >= self._web.clients
            if silent < (_CROWDED_MS if crowded else _IDLE_MS):
                return False
            self.over = True
        elif silent < _SILENT_MS and (self._state == _BODY or utime.ticks_diff(now, self._came_at) < _HEAD_MS):
            return False
        else:
            raise WebError(408, "The request did not come in time.")
        return True

    def _came(self, data):
        at = 0
        if self._state == _HEAD:
            head = self._head
            at = head.feed(data)
            if not head.done:
                return
            self._begin(head.request)
        if self._state == _BODY:
            self._take(data[at:] if at else data)

    def _begin(self, request):
        # The head is there.
        web = self._web
        self._request = request
        request.web = web
        self._head = None
        gc_free = gc.mem_free()
        if gc_free < 3 * _LOW_MEMORY:
            gc.collect()
            gc_free = gc.mem_free()
        if gc_free < _LOW_MEMORY:
            raise MemoryError
        self._left = request.length or 0
        web.gate.check(request)
        self._function, options = web.find(request)
        save = options.get("save")
        kind = request.kind
        if options.get("stream"):
            from pix.webform import Stream

            web.gate.check_form(request, ())
            request.stream = Stream(self._link, self._left)
            self._left = 0
        elif kind == "multipart/form-data":
            if save is None and self._left > _MOST_BODY:
                raise WebError(413, "Forms of up to %d bytes are taken here." % _MOST_BODY)
            from pix.webform import Multipart

            self._form = Multipart(attribute(request.header("content-type"), "boundary"), self._file_of(save))
        elif save is not None and kind[:6] == "image/":
            # A file by itself, as programs send it.
            web.gate.check_form(request, ())
            file = save(request, "file", request.query.get("name", ""), kind)
            self._files.append(("file", file))
        elif self._left > options.get("most", _MOST_BODY):
            raise WebError(413, "Bodies of up to %d bytes are taken here." % options.get("most", _MOST_BODY))
        elif save is not None and kind != "application/x-www-form-urlencoded":
            raise WebError(415, "A form with a file is wanted here.")
        self._state = _BODY
        if self._left and request.header("expect").lower() == "100-continue":
            self._link.offer(_CONTINUE)

    def _file_of(self, save):
        # What Multipart calls for each file.
        request = self._request

        def open_file(name, filename, kind):
            if save is None:
                raise WebError(415, "No files are taken here.")
            self._web.gate.check_form(request, self._form.pairs)
            file = save(request, name, filename, kind)
            self._files.append((name, file))
            return file

        return open_file

    def _take(self, data):
        # The next bytes of the body. What comes behind it would be another request: one a link is answered.
        if self._request.stream is not None:
            self._request.stream.begin(data)
        else:
            data = data[: self._left]
            self._left -= len(data)
            if not data:
                pass
            elif self._form is not None:
                self._form.feed(data)
            elif self._files:
                self._files[0][1].write(data)
            else:
                self._body += data
        if not self._left:
            self._state = _WHOLE
            self._link.deaf = self._request.stream is None

    def _complete(self):
        # All of the request is there: make sure of it, and have it answered.
        request = self._request
        web = self._web
        if request.length and request.stream is None:
            self._link.prove()
        if self._form is not None:
            if not self._form.done:
                raise WebError(400, "The form ends too early.")
            request.form = Fields(self._form.pairs)
            web.gate.check_form(request, self._form.pairs)
        elif request.kind == "application/x-www-form-urlencoded" and self._function is not None:
            request.form = Fields(pairs_of(self._body))
            web.gate.check_form(request, request.form.pairs)
        elif self._files or request.stream is not None:
            pass
        else:
            if request.length and request.method not in ("GET", "HEAD"):
                web.gate.check_form(request, ())
            request.body = self._body
        self._body = b""
        for name, file in self._files:
            file.commit()
            request.files[name] = file
        self._files = []
        self._call()

    def _call(self):
        # Have the handler answer.
        request = self._request
        try:
            result = self._function(request, **request.params)
            self._answer(made(result))
        except (WebError, PixError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - handlers may raise anything
            self._web.failures += 1
            self._web.note(error)
            raise WebError(500, "The program failed; its log tells more.")

    # -- the answer ---------------------------------------------------------------------------------------

    def _fail(self, error):
        # Answer with an error, in the app's own way where it has one.
        self._drop()
        if self._state == _HEAD and self._request is None:
            self._left = 1  # more of the head may come: see `_drain`
        function = self._web.page_of(error)
        response = None
        if function is not None and self._request is not None:
            try:
                response = made(function(self._request, error))
                response.status = error.code
            except Exception as other:  # noqa: BLE001 - as above
                self._web.note(other)
        try:
            self._answer(response or error_page(error))
        except WebError as other:
            self._answer(error_page(other))

    def _short(self, error):
        # Memory is short: say so with what is there already.
        self._drop()
        self._response = None
        gc.collect()
        self._web.note(error)
        if self._state >= _ANSWER:
            self.over = True  # in the middle of an answer nothing else can be said
            return
        response = Response(None, 503)
        response.raw(_NO_MEMORY)
        self._response = response
        self._state = _ANSWER

    def _answer(self, response):
        request = self._request
        web = self._web
        seconds = web.clock() if web.clock is not None else 0
        method, version = (request.method, request.version) if request is not None else ("GET", (1, 0))
        self._response = response
        self._link.deaf = True
        response.start(method, version, date_text(seconds) if seconds else "")
        self._state = _ANSWER
        web.served += 1

    def _send(self, most, room):
        link = self._link
        now = utime.ticks_ms()
        if not link.ready():
            return self._slow(now)
        response = self._response
        count = response.coming(most)
        if (most if count < 0 else count) > room:
            self.waits = True
            return False
        view = self._web.view[:most]
        try:
            if count < 0:
                count = response.fill(view)
                fill = None
            else:
                fill = response.fill
            if not count:
                response.close()
                self._state = _SETTLE
                return True
            link.offer(view[:count], fill)
        except (PixError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - the body may be a generator of the app's
            self._web.note(error)
            if self._begun:
                # The head is out: all that can be done is not to end in order.
                self.over = True
            else:
                response.close()
                self._answer(error_page(WebError(500, "The program failed; its log tells more.")))
            return True
        self._begun = True
        self.sent = True
        self.moved_at = utime.ticks_ms()
        return True

    def _slow(self, now):
        # The client takes nothing: for how long may it?
        crowded = self._web.busy >= self._web.clients
        if utime.ticks_diff(now, self.moved_at) > (_SLOW_CROWDED_MS if crowded else _SLOW_MS):
            self.over = True
            return True
        return False

    def _settle(self):
        self._link.confirm()
        if not self._link.settled:
            return self._slow(utime.ticks_ms())
        self.moved_at = utime.ticks_ms()
        if self._left:
            self._state = _DRAIN
            self._drained = self._link.arrived
        else:
            self.over = True
        return True

    def _drain(self):
        link = self._link
        got = link.take(self._web.view)
        limit = _CROWDED_MS if self._web.busy >= self._web.clients else _DRAIN_MS
        if (
            got < 0
            or link.arrived - self._drained > _DRAIN_BYTES
            or utime.ticks_diff(utime.ticks_ms(), self.moved_at) > limit
        ):
            self.over = True
            return True
        return got > 0

    def _drop(self):
        # Files that were not finished.
        self._form = None
        files = self._files
        self._files = []
        for _, file in files:
            try:
                file.discard()
            except PixError as error:
                self._web.note(error)


def _later(when, ms, now):
    # The tick `when` moved by `ms`, but not beyond `now`.
    moved = utime.ticks_add(when, ms)
    return now if utime.ticks_diff(moved, now) > 0 else moved
