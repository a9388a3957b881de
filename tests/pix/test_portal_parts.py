"""The portal's parts without a board: answers to questions for names, and texts of QR codes."""

import random
import struct

import pytest

from rig.device import Device

HERE = bytes((4, 3, 2, 1))


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    return Device(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def dns(device):
    return device.load("dns")


@pytest.fixture(scope="module")
def wificode(device):
    return device.load("wificode")


def question(name="captive.apple.com", kind=1, group=1, number=0x1234, flags=0x0100, count=1, rest=b""):
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".") if part)
    return (
        struct.pack(">HHHHHH", number, flags, count, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, group) + rest
    )


def test_every_name_leads_to_the_portal(dns):
    for name in ("captive.apple.com", "connectivitycheck.gstatic.com", "a", "x" * 63 + "." + "y" * 63, ""):
        asked = question(name)
        told = dns.answer(asked, HERE)
        assert told[:4] == b"\x12\x34\x85\x80" and told[4:12] == b"\0\1\0\1\0\0\0\0"
        assert told[12 : len(asked)] == asked[12:]
        assert told[len(asked) :] == b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\x04" + HERE
    assert dns.packed("4.3.2.1") == HERE


@pytest.mark.parametrize("kind", [28, 65, 64, 15, 16, 12, 2, 6, 33])
def test_what_is_no_ipv4_address_has_an_empty_answer(dns, kind):
    told = dns.answer(question(kind=kind), HERE)
    assert told[2:12] == b"\x85\x80\0\1\0\0\0\0\0\0" and told[12:] == question(kind=kind)[12:]


def test_a_question_with_edns_is_answered_without(dns):
    asked = question(rest=b"\0\0\x29\x10\0\0\0\0\0\0\0")
    asked = asked[:10] + b"\0\1" + asked[12:]
    told = dns.answer(asked, HERE)
    assert told[4:12] == b"\0\1\0\1\0\0\0\0" and told.endswith(HERE)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (question(flags=0x1100), 4),  # STATUS
        (question(flags=0x2900), 4),  # an update
        (question(count=0), 1),
        (question(count=2), 1),
        (question()[:-1], 1),
        (question()[:20], 1),
        (question()[:12] + b"\xc0\x0c\0\1\0\1", 1),
        (question()[:12] + b"\x3fa" * 100, 1),
        (question(group=3), 5),
    ],
)
def test_faults_are_told_as_the_rules_say(dns, asked, code):
    told = dns.answer(asked, HERE)
    assert told[:2] == asked[:2] and told[2] & 0x80 and told[3] & 15 == code and told[6:12] == b"\0" * 6


@pytest.mark.parametrize("asked", [b"", b"\0" * 11, question(flags=0x8180), question() + b"\0" * 500])
def test_answers_and_rubbish_are_not_answered(dns, asked):
    assert dns.answer(asked, HERE) is None


def test_whatever_comes_the_answer_is_short_and_never_an_exception(dns):
    dice = random.Random(7)
    for _ in range(3000):
        asked = bytearray(question("a.b" * dice.randrange(1, 9)))
        for _ in range(dice.randrange(4)):
            asked[dice.randrange(len(asked))] = dice.randrange(256)
        del asked[dice.randrange(len(asked) + 1) :]
        told = dns.answer(bytes(asked), HERE)
        assert told is None or len(told) <= len(asked) + 16


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("WIFI:T:WPA;S:mynet;P:mypass;;", ("mynet", "mypass", False)),
        ("WIFI:S:mynet;T:WPA2;P:mypass;H:true;;", ("mynet", "mypass", True)),
        ("WIFI:T:nopass;S:open;;", ("open", "", False)),
        ("WIFI:S:open;;", ("open", "", False)),
        ("WIFI:T:nopass;S:open;P:;;", ("open", "", False)),
        (r"WIFI:T:WPA;S:a\;b\,c\:d\\e\"f;P:\\\\;;", ('a;b,c:d\\e"f', "\\\\", False)),
        ('WIFI:T:WPA;S:"foo;P:bar";;', ('"foo', 'bar"', False)),
        ('WIFI:T:WPA;S:"1234";P:"abcdef12";;', ("1234", "abcdef12", False)),
        (r"WIFI:T:WPA;S:\"foo\";P:bar;;", ('"foo"', "bar", False)),
        ("WIFI:T:WPA;S:caf\u00e9 \u732b;P:12345678;H:false;;", ("caf\u00e9 \u732b", "12345678", False)),
        ("WIFI:T:SAE;S:six;P:12345678;;", ("six", "12345678", False)),
        ("wifi:t:wpa;s:low;p:12345678;;", ("low", "12345678", False)),
        ("WIFI:T:WPA;S:a:b;P:c:d;;", ("a:b", "c:d", False)),
        ("WIFI:T:WPA;S:end;P:12345678", ("end", "12345678", False)),
        ("WIFI:T:WPA;S:;P:12345678;;", None),
        ("WIFI:T:WPA;P:12345678;;", None),
        ("WIFI:T:WEP;S:old;P:12345;;", None),
        ("WIFI:T:WPA2-EAP;S:office;E:PEAP;I:me;P:x;;", None),
        ("http://example.com/", None),
        ("WIFI:", None),
        ("", None),
    ],
)
def test_texts_of_qr_codes(wificode, text, network):
    assert wificode.parsed(text) == network


def test_every_name_and_key_survives_both_ways(wificode):
    dice = random.Random(3)
    for _ in range(2000):
        name = "".join(dice.choice('ab1 F;:,"\\\u00e9') for _ in range(dice.randrange(1, 12)))
        key = "".join(dice.choice('ab1 0;:,"\\') for _ in range(dice.choice((0, 8, 9, 20))))
        hidden = dice.random() < 0.3
        assert wificode.parsed(wificode.made(name, key, hidden)) == (name, key, hidden), (name, key)
