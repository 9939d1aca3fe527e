"""How ./demo tells what it does: in steps, with the time, in plain words."""

import os
import signal
import sys
import time

# When ./demo itself began: installing and building count.
BEGAN = int(os.environ.get("POSTHOUSE_DEMO_BEGAN", time.time_ns()))
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
T0 = time.monotonic() - (time.time_ns() - BEGAN) / 1e9


class Fail(Exception):
    """What did not happen, in words for the person who watches."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: nothing is wrong, and nothing may be left behind."""


def interrupted(*_):
    raise Interrupted


def on_interrupt(what):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, what)


def so_far():
    return time.monotonic() - T0


def bold(text):
    return f"\033[1m{text}\033[0m" if COLOUR else text


def title(text):
    print(f"\n{bold(text)}", flush=True)


def say(text):
    print(f"  {so_far():6.2f} s  {text}", flush=True)


def quote(text, lines=40):
    for line in text.rstrip("\n").split("\n")[:lines]:
        line = line.rstrip("\r").replace("\t", "    ")
        print("           | " + "".join(c if c.isprintable() else "." for c in line)[:110],
              flush=True)


def wait(what, fn, seconds=60):
    end = time.monotonic() + seconds
    while not (got := fn()):
        if time.monotonic() > end:
            raise Fail(f"{what}: not within {seconds} s")
        time.sleep(0.002)
    return got
