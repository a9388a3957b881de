"""Every recorded session against the profile it belongs to: the same bytes, or a row of docs/modem.md says why not."""

import json
import re
from pathlib import Path

import pytest

from virtualboard.esp8285 import PROFILES
from virtualboard.esp8285.records.replay import replay
from virtualboard.esp8285.records.scene import candidates
from virtualboard.esp8285.records.session import Session, escape, load, unescape

RECORDS = Path(__file__).with_name("at-sessions.jsonl")
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "modem.md").read_text(encoding="utf-8")
SESSIONS = load(RECORDS)


def listed():
    """The page's table: id -> (profile, what differs)."""
    part = PAGE.split("## Records that come out otherwise")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([\w.-]+) \| ([\d.]+) \| ([^|]+) \| ([^|]+) \|$", part, re.MULTILINE)
    return {identity: (at, differs) for identity, at, differs, _why in rows}


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.id)
def test_record(session):
    outcome = replay(session)
    if outcome.same and not outcome.notes:
        assert session.id not in listed()
        return
    differs = ", ".join(outcome.notes) if outcome.same else str(outcome.agreed)
    assert listed()[session.id] == (outcome.profile, differs), outcome.side_by_side()


def test_the_table_names_records_only():
    assert set(listed()) <= {session.id for session in SESSIONS}


def test_a_profile_is_not_better_than_its_record():
    """A replay that took the answer from the log would agree with anything."""
    for session in SESSIONS:
        if not session.printed.endswith(b"\r\nOK\r\n"):
            continue
        spoilt = Session(session.id, session.firmware, session.commands, session.printed[:-6] + b"OK\r\n")
        assert not replay(spoilt).same, session.id


@pytest.mark.parametrize(
    ("firmware", "first"),
    [
        ("1.2.0.0 Ai-Thinker", "1.2"),
        ("<=1.3 (echo)", "1.3"),
        (">=1.5 (echo with one CR)", "1.5"),
        ("1.7.x", "1.7.4"),
        ("1.x", "1.7.4"),
        ("0.52.0.0", "1.1"),
        ("1.4.0.0", "1.3"),
        ("2.3.0.0-dev RTOS", "2.1"),
        ("unknown", "1.7.4"),
        ("", "1.7.4"),
    ],
)
def test_which_profile_a_firmware_belongs_to(firmware, first):
    assert candidates(firmware)[0].name == first


DIALOGUES = {
    "passive": """
        # firmware: 1.7.4
        > AT+CIPMUX=1
        > AT+CIPRECVMODE=1
        > AT+CIPSTART=4,"TCP","10.0.0.1",80
        > AT+CIPSEND=4,5
        > hello
        > AT+CIPRECVDATA=4,2048
        > AT+CIPSTATUS
        > AT+CIPRECVLEN?
        > AT+CIPCLOSE=4
        < \\r\\nOK\\r\\n\\r\\nOK\\r\\n4,CONNECT\\r\\n\\r\\nOK\\r\\n\\r\\nOK\\r\\n>\\x20
        < \\r\\nRecv 5 bytes\\r\\n\\r\\nSEND OK\\r\\n
        < \\r\\n+IPD,4,3\\r\\n\\r\\n+IPD,4,8\\r\\n\\r\\n+CIPRECVDATA,8:abcdefgh\\r\\nOK\\r\\n
        < STATUS:3\\r\\n+CIPSTATUS:4,"TCP","10.0.0.1",80,7777,0\\r\\n\\r\\nOK\\r\\n
        < +CIPRECVLEN:0,0,0,0,0\\r\\n\\r\\nOK\\r\\n4,CLOSED\\r\\n\\r\\nOK\\r\\n""",
    "scan": """
        # firmware: 1.3
        > AT+CWLAP
        < +CWLAP:(3,"a",-80,"02:00:00:00:00:01",1,-7,0)\\r\\n+CWLAP:(4,"b",-50,"02:00:00:00:00:02",1,-7,0)\\r\\n
        < \\r\\nOK\\r\\n""",
    "split echo": """
        # firmware: 1.1
        > AT+CWMODE?
        < AT+CWIFI DISCONNECT\\r\\nWMODE?\\r\\r\\n+CWMODE:1\\r\\n\\r\\nOK\\r\\n""",
    "turned away": """
        # firmware: 1.6
        > AT+CWJAP_CUR="net","secret12"
        < +CWJAP:4\\r\\n\\r\\nFAIL\\r\\n""",
    "refused": """
        # firmware: 1.6
        > AT+CIPSTART="TCP","192.0.2.9",80
        < \\r\\nERROR\\r\\nCLOSED\\r\\n""",
    "open twice": """
        # firmware: 1.6
        > AT+CIPSTART="TCP","192.0.2.9",80
        > AT+CIPSTART="TCP","192.0.2.9",80
        > AT+CIPCLOSE
        < CONNECT\\r\\n\\r\\nOK\\r\\nALREADY CONNECTED\\r\\n\\r\\nERROR\\r\\nCLOSED\\r\\n\\r\\nOK\\r\\n""",
    "a client and its data": """
        # firmware: 1.3
        > AT+CIPCLOSE=0
        < 0,CONNECT\\r\\n\\r\\n+IPD,0,4:ab\\r\\n0,CLOSED\\r\\n\\r\\nOK\\r\\n""",
    "a lease that never comes": """
        # firmware: 1.1
        > AT+CWJAP="net","secret12"
        < WIFI CONNECTED\\r\\nDHCP TIMEOUT\\r\\n+CWJAP:1\\r\\n\\r\\nFAIL\\r\\nWIFI DISCONNECT\\r\\n""",
    "stations": """
        # firmware: 1.3
        > AT+CWLIF
        < 192.168.4.2,02:00:00:00:00:09\\r\\n\\r\\nOK\\r\\n""",
    "settings": """
        # firmware: 1.7.4
        > AT+CWDHCP_CUR?
        > AT+CWAUTOCONN?
        > AT+CIPDNS_CUR?
        > AT+SYSRAM?
        > AT+SLEEP?
        < +CWDHCP_CUR:2\\r\\nOK\\r\\n+CWAUTOCONN:1\\r\\nOK\\r\\n
        < +CIPDNS_CUR:192.0.2.53\\r\\n+CIPDNS_CUR:192.0.2.54\\r\\n\\r\\nOK\\r\\n
        < +SYSRAM:39008\\r\\n\\r\\nOK\\r\\n+SLEEP:0\\r\\n\\r\\nOK\\r\\n""",
    "closed before": """
        # firmware: 1.6
        > AT+CIPSTATUS
        < STATUS:4\\r\\n\\r\\nOK\\r\\n""",
    "nobody answers": """
        # firmware: 1.7
        > AT+CIPSTART=1,"TCP","192.0.2.9",80
        < \\r\\nbusy p...\\r\\n\\r\\nERROR\\r\\n1,CLOSED\\r\\n""",
    "datagrams": """
        # firmware: 1.7
        > AT+CIPSTART=1,"UDP","192.0.2.9",53
        > AT+CIPSEND=1,4
        > ABCD
        < 1,CONNECT\\r\\n\\r\\nOK\\r\\n\\r\\nOK\\r\\n>\\x20
        < \\r\\nRecv 4 bytes\\r\\n\\r\\nSEND OK\\r\\n\\r\\n+IPD,1,2:yz""",
    "data mode": """
        # firmware: 1.7
        > AT+CIPMODE=1
        > AT+CIPSTART="TCP","192.0.2.9",53
        > AT+CIPSEND
        > hello
        > +++
        > AT
        < \\r\\nOK\\r\\nCONNECT\\r\\n\\r\\nOK\\r\\n\\r\\nOK\\r\\n\\r\\n>\\r\\nOK\\r\\n""",
    "send fails": """
        # firmware: 1.6
        > AT+CIPSEND=0,3
        > abc
        > AT+CIPSEND=0,3
        > abc
        < \\r\\nOK\\r\\n>\\x20\\r\\nRecv 3 bytes\\r\\n\\r\\nSEND FAIL\\r\\n
        < \\r\\nOK\\r\\n>\\x20\\r\\nRecv 3 bytes\\r\\nSEND FAIL\\r\\n""",
    "station vanishes": """
        # firmware: 1.7
        > AT+CIPSERVER=1,80
        < \\r\\nOK\\r\\n+STA_CONNECTED:"02:00:00:00:00:09"\\r\\n
        < +DIST_STA_IP:"02:00:00:00:00:09","192.168.4.2"\\r\\n
        < +DIST_STA_IP:"02:00:00:00:00:09","192.168.4.2"\\r\\n
        < 0,CONNECT\\r\\n+STA_DISCONNECTED:"02:00:00:00:00:09"\\r\\n0,CONNECT FAIL\\r\\n""",
    "another loader": """
        # firmware: 1.7.4
        > AT+RST
        < \\r\\nOK\\r\\nWIFI DISCONNECT\\r\\n\\r\\n ets Jan  8 2013,rst cause:1, boot mode:(3,6)\\r\\n\\r\\n
        < load 0x40100000, len 2592, room 16 \\r\\ntail 0\\r\\nchksum 0xf3\\r\\ncsum 0x22\\r\\n\\r\\n
        < 2nd boot version : 1.7(5d6f877)\\r\\n  SPI Speed      : 80MHz\\r\\n  SPI Mode       : QIO\\r\\n
        < \\x20 SPI Flash Size & Map: 8Mbit(512KB+512KB)\\r\\njump to run user2 @ 81000\\r\\n\\r\\n
        < \\r\\nready\\r\\nWIFI CONNECTED\\r\\nWIFI GOT IP\\r\\n""",
    "reset in between": """
        # firmware: 1.3
        > AT
        < AT\\r\\r\\n\\r\\nOK\\r\\n\\r\\n ets Jan  8 2013,rst cause:2, boot mode:(3,7)\\r\\n\\r\\n
        < load 0x40100000, len 1856, room 16 \\r\\ntail 0\\r\\nchksum 0x63\\r\\ncsum 0x79\\r\\n\\r\\n
        < 2nd boot version : 1.5\\r\\n  SPI Speed      : 40MHz\\r\\n  SPI Mode       : DIO\\r\\n
        < \\x20 SPI Flash Size & Map: 8Mbit(512KB+512KB)\\r\\njump to run user1 @ 1000\\r\\n\\r\\n\\r\\nready\\r\\n""",
    "ping": """
        # firmware: 1.7
        > AT+PING="192.0.2.9"
        > AT+PING="192.0.2.10"
        < +24\\r\\n\\r\\nOK\\r\\n+timeout\\r\\n\\r\\nERROR\\r\\n""",
    "a client inside an echo": """
        # firmware: 1.5.0.0
        > AT+CIPSEND=0,7
        > <7 bytes>
        > AT+CIPCLOSE=0
        < 0,CONNECT\\r\\n\\r\\n+IPD,0,2,192.0.2.7,5285:abAT+CIPSEND=0,1,CONNECT\\r\\n7\\r\\n\\r\\nOK\\r\\n>\\x20
        < \\r\\n+IPD,1,2,192.0.2.7,5286:cd\\r\\nRecv 7 bytes\\r\\n\\r\\nSEND OK\\r\\nAT+CIPCLOSE=0\\r\\n
        < 0,CLOSED\\r\\n\\r\\nOK\\r\\n1,CLOSED\\r\\n""",
    "an early end": """
        # firmware: 1.3
        > AT+CIPSENDEX=0,2048
        > <86 bytes>
        < \\r\\nOK\\r\\n>\\x20\\r\\nRecv 86 bytes\\r\\n\\r\\nSEND OK\\r\\n\\r\\n+IPD,0,1:a0,CLOSED\\r\\n""",
    "restarted while joining": """
        # firmware: 1.7.4.0
        > AT+CWJAP_CUR="net","secret12"
        > AT
        > AT+RST
        < \\r\\nbusy p...\\r\\n\\r\\nWill force to restart!!!\\r\\n\\r\\nOK\\r\\n""",
    "joined and asked": """
        # firmware: 2.1.0.0
        > AT+CWJAP="net","secret12"
        > AT+CWJAP?
        < AT+CWJAP="net","secret12"\\r\\nWIFI CONNECTED\\r\\nWIFI GOT IP\\r\\n\\r\\nOK\\r\\n
        < AT+CWJAP?\\r\\n+CWJAP:"net","02:00:00:00:00:07",11,-55,0,0,0,0\\r\\n\\r\\nOK\\r\\n""",
    "no network yet": """
        # firmware: 1.7.5.0
        > AT+CWMODE=?
        > AT+CIFSR
        > AT+CWJAP_DEF?
        < AT+CWMODE=?\\r\\n+CWMODE:(1-3)\\r\\n\\r\\nOK\\r\\n
        < AT+CIFSR\\r\\n+CIFSR:STAIP,"0.0.0.0"\\r\\n+CIFSR:STAMAC,"02:00:00:00:00:09"\\r\\n\\r\\nOK\\r\\n
        < AT+CWJAP_DEF?\\r\\nNo AP\\r\\n\\r\\nOK\\r\\n""",
}

NOTED = {
    "noise in lines": (
        """
        # firmware: 1.7.x
        > AT+RST
        > ATE0
        > AT+CWMODE?
        < AT+RST\\r\\n\\r\\nOK\\r\\nbB\\xb6Sb\\r\\n\\xee.Db&t\\xb55\\r\\nready\\r\\n
        < ATE0\\r\\n\\r\\nOK\\r\\n+CWMODE:1\\r\\n\\r\\nOK\\r\\n""",
        "noise",
    ),
    "a vendor's line in noise": (
        """
        # firmware: 0.9.2.4
        > AT+RST
        < AT+RST\\r\\r\\n\\r\\nOK\\r\\n\\x1c\\xfe[Vendor:www.example.com Version:0.9.2.4]\\r\\n\\r\\nready\\r\\n""",
        "noise",
    ),
    "another cause": (
        """
        # firmware: 0.52
        > AT+RST
        < AT+RST\\r\\r\\n\\r\\nOK\\r\\n\\r\\n ets Jan  8 2013,rst cause:1, boot mode:(3,6)\\r\\n\\r\\n
        < load 0x40100000, len 1396, room 16 \\r\\ntail 4\\r\\nchksum 0x89\\r\\ncsum 0xc0\\r\\n\\r\\n
        < 2nd boot version : 1.4(b1)\\r\\n  SPI Speed      : 40MHz\\r\\n  SPI Mode       : DIO\\r\\n
        < \\x20 SPI Flash Size & Map: 8Mbit(512KB+512KB)\\r\\njump to run user1 @ 1000\\r\\n\\r\\n
        < r\\x8e\\xc3\\r\\nA Vendor Co.,Ltd.\\r\\n\\r\\ninvalid\\r\\n""",
        "cause",
    ),
    "a version with an empty line": (
        """
        # firmware: 0.21
        > AT+GMR
        < AT version:0.21.0.0\\r\\nSDK version:0.9.5\\r\\n\\r\\nOK\\r\\n""",
        "build",
    ),
}
"""Dialogues of which the replay takes something from the log: what it says that it took."""


@pytest.mark.parametrize("name", DIALOGUES)
def test_a_dialogue_of_ones_own(tmp_path, name):
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(line.strip() for line in DIALOGUES[name].strip().splitlines()), encoding="utf-8")
    (session,) = load(path)
    assert session.id == "mine"
    outcome = replay(session)
    assert outcome.same and not outcome.notes, outcome.side_by_side()


@pytest.mark.parametrize("name", NOTED)
def test_what_a_replay_takes_from_the_log_is_said(tmp_path, name):
    text, note = NOTED[name]
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()), encoding="utf-8")
    outcome = replay(load(path)[0])
    assert outcome.same and outcome.notes == (note,), outcome.side_by_side()


def test_the_first_difference_is_shown_side_by_side(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("# firmware: 1.1\n> AT\n< AT\\r\\r\\nOK\\r\\n\n", encoding="utf-8")
    outcome = replay(load(path)[0])
    assert not outcome.same and outcome.agreed == 5 and outcome.profile == "1.1"
    rows = outcome.side_by_side(width=10)
    assert rows[0] == "AT\\r\\r\\n   | AT\\r\\r\\n" and rows[1] == "OK\\r\\n     # \\r\\n"
    assert replay(load(path)[0], PROFILES["1.7.4"]).agreed == 3


def test_a_file_may_hold_several_sessions_in_either_form(tmp_path):
    path = tmp_path / "two.txt"
    path.write_text("# id: one\n# firmware: 1.1\n> AT\n\n# id: two\n< \\x00\\\\ü\\r\n", encoding="utf-8")
    one, two = load(path)
    assert (one.id, one.firmware, one.commands, one.printed) == ("one", "1.1", (b"AT",), b"")
    assert (two.id, two.firmware, two.printed) == ("two", "", b"\0\\\xc3\xbc\r")
    path.write_text(json.dumps({"commands": ["AT"], "bytes": "\\r\\nOK\\r\\n"}) + "\n", encoding="utf-8")
    assert load(path)[0].printed == b"\r\nOK\r\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("> AT\nOK\n", "line 2 begins with neither"),
        ('{"commands": ["AT"]}\n', "line 1 is no session"),
        ('{"commands": 3, "bytes": ""}\n', "line 1 is no session"),
        ("# nothing\n", "no session in it"),
        ("", "no session in it"),
    ],
)
def test_what_is_no_session_is_refused_with_its_line(tmp_path, text, told):
    path = tmp_path / "mine.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        load(path)


@pytest.mark.parametrize("data", [b"AT\r\n", b"\x00\xff\\n'\"", bytes(range(256))])
def test_escaping_comes_back(data):
    assert unescape(escape(data)) == data
