# What is done when: rules like those of cron, parted by ";".
#
#     <minutes> <hours> <weekdays> <what>
#
# The first three are "*", numbers, ranges and lists of them ("0", "7-21", "22-23,0-6"), "*/15" for every 15th; weekdays
# go from 0 or 7 (Sunday) to 6. A rule holds in every minute that fits all three. What it does:
#
#     every 300          a picture stays 300 seconds
#     off                the light is off (where a board has no switch for it, the panel is black)
#     dim                the light is dimmed (where it can be)
#     show /sd/night.jpg this picture is shown, and nothing else
#
# Of several rules for the pace, or for the panel, the last one that holds counts. Without a clock no rule holds.

from pix.errors import PixError

_WHATS = ("every", "off", "dim", "show")


class Plan:
    # What holds now: `seconds` a picture stays (0: as the settings say), `light` ("on", "dim", "off"), `picture` (a
    # path, "" for those of the list).
    def __init__(self):
        self.seconds = 0
        self.light = "on"
        self.picture = ""


class Schedule:
    # The rules in `text`. Raises PixError "settings".
    def __init__(self, text):
        self._rules = [_rule(part) for part in text.split(";") if part.strip()]

    def plan(self, local):
        # The Plan of the minute `local` (what Clock.local gives, or None).
        plan = Plan()
        if local is None:
            return plan
        now = local[4], local[3], (local[6] + 1) % 7
        for fields, what, value in self._rules:
            if not (now[0] in fields[0] and now[1] in fields[1] and now[2] in fields[2]):
                continue
            if what == "every":
                plan.seconds = value
            elif what == "show":
                plan.light, plan.picture = "on", value
            else:
                plan.light, plan.picture = what, ""
        return plan


def _rule(text):
    words = text.split()
    if len(words) < 4 or words[3] not in _WHATS:
        raise _wrong(text)
    fields = _field(words[0], 0, 59, text), _field(words[1], 0, 23, text), _field(words[2], 0, 7, text)
    if 7 in fields[2]:
        fields[2].append(0)
    what = words[3]
    value = " ".join(words[4:])
    if what == "every":
        if value.strip("0123456789") or not value or not 0 < int(value) <= 86400:
            raise _wrong(text)
        return fields, what, int(value)
    if value[:4] != "/sd/" if what == "show" else value:
        raise _wrong(text)
    return fields, what, value


def _field(text, low, high, rule):
    # The numbers that the field `text` means.
    found = []
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            first, last, dash = str(low), str(high), "-"
        step = step if "/" in part else "1"
        if not (first.isdigit() and step.isdigit() and (last.isdigit() if dash else True)):
            raise _wrong(rule)
        begin = int(first)
        end = int(last) if dash else begin
        if not (low <= begin <= end <= high and 0 < int(step) <= 60):
            raise _wrong(rule)
        found += range(begin, end + 1, int(step))
    return found


def _wrong(text):
    return PixError("settings", repr(text.strip()[:40]))
