"""What doctor finds: one line each, for people and for scripts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """One line: `state` is "ok", "note" (works, could be better), "wrong", or "skip"."""

    name: str
    state: str
    text: str
    remedy: str = ""


def healthy(findings: list[Finding]) -> bool:
    """True when nothing is wrong."""
    return all(finding.state != "wrong" for finding in findings)


def to_json(findings: list[Finding]) -> str:
    """The findings for scripts."""
    return json.dumps({"ok": healthy(findings), "findings": [asdict(finding) for finding in findings]}, indent=2)
