# Pages: small templates whose values are escaped, and the frame that all pages of the board have in common.
#
#     render("<p>{{name}}</p>", name="a < b")      # b"<p>a &lt; b</p>"

_STYLE = (
    "body{font:16px/1.4 sans-serif;margin:0 auto;max-width:46em;padding:.5em 1em;color:#222;background:#fff}"
    "h1{font-size:1.3em}h2{font-size:1.1em;margin:1.2em 0 .3em}form{margin:0}"
    "input,select,button{font:inherit;padding:.35em .6em;max-width:100%;box-sizing:border-box}"
    "table{border-collapse:collapse}td,th{padding:.15em .6em .15em 0;text-align:left;vertical-align:top}"
)

_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
    'initial-scale=1"><link rel="icon" href="data:,"><title>{{title}}</title><style>{{{style}}}</style></head><body>'
)


def escape(value):
    # Any value as text that is safe between tags and inside quoted attributes.
    text = str(value)
    for mark, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        if mark in text:
            text = text.replace(mark, name)
    return text


def render(template, **values):
    # `template` (text) with {{name}} replaced by the escaped value, and {{{name}}} by the value as it is. Raises
    # KeyError for a name without a value.
    parts = template.split("{{")
    out = parts[0]
    raw = False
    for part in parts[1:]:
        if part[:1] == "{":
            raw = True
            part = part[1:]
        name, _, rest = part.partition("}}}" if raw else "}}")
        value = values[name.strip()]
        out += (value if isinstance(value, str) else str(value)) if raw else escape(value)
        out += rest
        raw = False
    return out


def page(title, template, style="", **values):
    # A whole page: `template` in the frame, with more `style` (CSS).
    return begin(title, style) + render(template, **values) + "</body></html>"


def begin(title, style=""):
    # The frame up to the content, for pages that are made piece by piece; "</body></html>" ends them.
    return render(_HEAD, title=title, style=_STYLE + style)
