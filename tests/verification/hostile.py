"""Implementations that a user should be able to verify without harm: written beside the toy suite, never imported."""

HOSTILE = """
import os, signal, socket, subprocess, sys, tempfile
from pathlib import Path
from types import SimpleNamespace

LOOK_UP = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"

def fetches():
    socket.create_connection(("192.0.2.1", 80), 5)

def has_it_fetched():
    done = subprocess.run([sys.executable, "-c", LOOK_UP], capture_output=True, text=True)
    raise OSError(done.stderr.strip().splitlines()[-1])

def hoards():
    heap = []
    while True:
        heap.append(bytearray(1 << 26))

def prints():
    while True:
        print("x" * (1 << 20))

def litters():
    for folder in (tempfile.mkdtemp(), Path.home() / ".cache", os.environ["XDG_CACHE_HOME"], "/dev/shm"):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "litter-of-sdpo-ref").write_text("here")
    for _ in range(8):
        subprocess.Popen(["sleep", "86397"], start_new_session=True, stdin=subprocess.DEVNULL)
    return 1

def shouts():
    print("\\x1b[2J[bold]printed[/bold]")
    raise ValueError("\\x1b]0;owned\\x07[red]raised[/red]\\u202e")

def make():
    return SimpleNamespace(
        name="\\x1b[2J[bold]evil[/bold]\\nverified  something else",
        divergence=lambda a, b: abs(a - b),
        loss=fetches, hybrid_loss=has_it_fetched, context=hoards, completion_mask=prints, step=litters,
        trust_region=shouts,
    )

def waits():
    (Path(tempfile.gettempdir()) / "begun").touch()
    subprocess.Popen(["sleep", "86398"], start_new_session=True)
    os.kill(os.getpid(), signal.SIGSTOP)  # no thread of this process can see that the runner has gone

def hides():
    return SimpleNamespace(divergence=lambda a, b: replaces_what_it_prints(), capabilities={"divergence"})

def replaces_what_it_prints():
    for name in Path(os.environ["SDPO_REF_SCRATCH"]).glob("*"):
        if name.is_file():
            name.unlink()
            os.mkfifo(name)
    os._exit(3)

def forges():
    return SimpleNamespace(divergence=lambda a, b: writes_events(), capabilities={"divergence"})

def writes_events():
    from sdpo_ref.verification.isolation.events import Closed, Finished, Status, encode
    check = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    lines = "".join(encode(event) + chr(10) for event in (Finished(check, Status.PASS), Closed()))
    for number in range(3, 64):
        try:
            os.write(number, lines.encode())
        except OSError:
            pass
    os._exit(0)

def refuses():
    raise ValueError("\\x1b[2Jno")
"""
"""A module with a factory for each kind of harm."""
