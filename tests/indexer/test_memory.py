"""What a range leaves of memory is kept for the next one, and given back when there is none."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from indexer import memory

ROOT = Path(__file__).resolve().parents[2]
glibc = pytest.mark.skipif(memory._TRIM is None, reason="the C library is not glibc")

FAULTS = """
import resource
from indexer.memory import give_back, keep_what_is_freed

def faults(pieces):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(pieces):
        [bytes(2**20) + b"x" for _ in range(24)]  # each is written, and all are freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

usual = faults(4)
keep_what_is_freed()
faults(1)  # takes it once
kept = faults(4)
held = resident()
give_back()
given_back = held - resident()
faults(1)
afterwards = faults(4)
print(usual, kept, given_back, afterwards)
"""


HEAPS = """
import sys
from threading import Thread
from indexer.memory import keep_what_is_freed

def of_a_thread():
    made = []
    thread = Thread(target=lambda: made.append(bytes(100_000)))
    thread.start()
    thread.join()
    heap = next(line for line in open("/proc/self/maps") if line.endswith("[heap]\\n"))
    begin, end = (int(place, 16) for place in heap.split()[0].split("-"))
    return begin <= id(made[0]) < end

if "usually" not in sys.argv:
    keep_what_is_freed()
print(of_a_thread())
"""


@glibc
@pytest.mark.parametrize(("how", "said"), [("kept", "True"), ("usually", "False")])
def test_no_thread_gets_a_heap_of_its_own_while_memory_is_kept(how: str, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HEAPS, how], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == [said]


@glibc
def test_memory_that_is_kept_is_not_taken_again_page_by_page() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FAULTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    usual, kept, given_back, afterwards = map(int, ended.stdout.split())
    assert usual > 20 * (kept + 1)  # of pages, large or small
    assert given_back * resource.getpagesize() > 16 * 2**20
    assert afterwards > 20 * (kept + 1), "what is freed later is given back, too"


def test_where_the_c_library_cannot_be_told_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_MALLOPT", None)
    monkeypatch.setattr(memory, "_TRIM", None)
    memory.keep_what_is_freed()
    memory.give_back()
