"""A home that is none, or a broken one, at a true edge: nothing is lost, and the log says why."""

import re

from kit.foreign_home import ForeignHome
from kit.smtp import send_mail
from kit.stand import message, until

POLICY = {"version": 1, "epoch": "1", "counter": "1", "domains": [{"name": "example.test"}]}
LEDGER = ("posthouse-ledger", "1.1")


def says(*headers, body=b""):
    """An answer to a PUT: (headers, body)."""
    return list(headers), body


# What home answers while the sender waits for its word, and what the edge's log says of it.
ANSWERS = {
    "a code that is none of a PUT's": (
        says((":status", "204"), LEDGER), r"handover\.refused .* kept=here: home answered 204"),
    "another place": (
        says((":status", "302"), LEDGER, ("location", "https://x.test/")),
        r"handover\.refused .* kept=here: home answered 302"),
    "a code that HTTP does not have": (
        says((":status", "999"), LEDGER), r"handover\.refused .* kept=here: home answered 999"),
    "a status that is no number": (
        says((":status", "abc"), LEDGER), r"handover\.cut .*: stream: reset: PROTOCOL_ERROR"),
    "no status": (says(LEDGER), r"handover\.cut .*: stream: reset: PROTOCOL_ERROR"),
    "it has it, and no ledger": (
        says((":status", "200")), r"handover\.refused .*answered 200 without naming its ledger"),
    "it has it, in a ledger without a name": (
        says((":status", "201"), ("posthouse-ledger", "0.7")),
        r"handover\.refused .*answered 201 without naming its ledger"),
    "a refusal without a reason": (
        says((":status", "422"), LEDGER), r"verdict\.unclear .* without a permanent SMTP reply"),
    "a refusal that is none": (
        says((":status", "422"), LEDGER, body=b"250 2.0.0 fine\r\n"),
        r"verdict\.unclear .* without a permanent SMTP reply: 250 2\.0\.0 fine"),
    "a refusal of two minds": (
        says((":status", "422"), LEDGER, body=b"550-5.1.1 no\r\n250 2.0.0 yes\r\n"),
        r"verdict\.unclear .* without a permanent SMTP reply: 550-5\.1\.1 no"),
}


def true_home_again(stand):
    """Paired anew, as the ledger that the other named is the later one."""
    line = stand.tool("pair", "-c", stand.conf("edge"), "home", "example.test").stdout
    stand.tool("pair", "-c", stand.conf("home"), input=line)
    stand.start("home")


def test_an_answer_that_is_none_loses_nothing(make_stand, mark):
    stand = make_stand(verdict=60)
    stand.stop("home")
    for n, answer in enumerate(ANSWERS):
        said, words = ANSWERS[answer]
        at = len(stand.log("edge"))
        with ForeignHome(stand, stand.env["HOME_STATE"], POLICY, answer=said):
            assert send_mail(stand.smtp, message(subject=f"{mark}-{n}-")).code == 250, answer
            until(f"it is said: {answer}", 20,
                  lambda at=at, words=words: re.search(words, stand.log("edge")[at:]))
    assert len(stand.queue("edge")) == len(ANSWERS), "no copy went"
    true_home_again(stand)
    for n in range(len(ANSWERS)):
        stand.wait_marked("alice", f"{mark}-{n}-")
    stand.edge_empty()
    assert not [a for a in stand.status("edge")["alarms"] if "does not take" in a]


def frame(kind, flags, stream, octets=b""):
    return (len(octets).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") +
            octets)


HEADERS, SETTINGS, PUSH, PING, UPDATE, MORE = 1, 4, 5, 6, 8, 9
STATUS_200 = b"\x88"        # as HPACK has it
# Octets behind a true beginning, poll a stream that waits for its answer; and words of the log.
FRAMES = {
    "a flood of SETTINGS": (
        lambda poll: frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff") * 100000, "Flooding"),
    "a flood of PINGs": (lambda poll: frame(PING, 0, 0, b"12345678") * 100000, "Flooding"),
    "a header without an end": (
        lambda poll: frame(HEADERS, 0, poll, STATUS_200) + frame(MORE, 0, poll) * 100000,
        "CONTINUATION"),
    "frames of one octet": (
        lambda poll: frame(SETTINGS, 0, 0, b"\0\5\0\0\0\1"), "SETTINGS_MAX_FRAME_SIZE"),
    "a window beyond all": (
        lambda poll: frame(SETTINGS, 0, 0, b"\0\4\x80\0\0\0"), "SETTINGS_INITIAL_WINDOW_SIZE"),
    "a window that grows over": (
        lambda poll: frame(UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2, "FLOW_CONTROL_ERROR"),
    "a frame of 16 MB": (lambda poll: b"\xff\xff\xff\0\0\0\0\0\1", "too large frame size"),
    "an answer to nobody": (
        lambda poll: frame(HEADERS, 5, 9999, STATUS_200), "PROTOCOL_ERROR"),
    "a request of its own": (
        lambda poll: frame(HEADERS, 5, 2, b"\x82\x84\x87"), "PROTOCOL_ERROR"),
    "a promise": (
        lambda poll: frame(PUSH, 4, poll, b"\0\0\0\2\x82\x84\x87"), "PUSH_PROMISE"),
    "no HTTP at all": (lambda poll: b"\r\n".join([b"HTTP/1.1 200 OK"] * 1000), "SETTINGS|frame"),
}


def test_frames_that_break_the_protocol_end_the_tunnel_alone(stand, mark):
    stand.stop("home")
    with open(f"/proc/{reception(stand)}/stat", encoding="ascii") as f:
        before = f.read().split()[21]
    for what, (octets, words) in FRAMES.items():
        at = len(stand.log("edge"))
        with ForeignHome(stand, stand.env["HOME_STATE"], POLICY, spoil=octets):
            until(f"it is said: {what}", 20, lambda at=at, words=words: re.search(
                rf"tunnel\.down home=home: HTTP/2: .*(?:{words})", stand.log("edge")[at:]))
    with open(f"/proc/{reception(stand)}/stat", encoding="ascii") as f:
        assert f.read().split()[21] == before, "it lived through all of it"
    true_home_again(stand)
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)


def reception(stand):
    return next(p["pid"] for p in stand.status("edge")["processes"] if p["name"] == "reception")
