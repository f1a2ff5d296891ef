"""What the programs in Python have in common: the counts, and the lines that they print.

Owns: what `common/src/lib.rs` says of the programs in Rust. Must not know: how anything travels.
"""

import json
import time

LASTING = 400_000_000
WARM_UP = 200
FLYING = 64
LARGE = 1 << 20
FIRST_LARGE = 3
MESSAGES = 5_000
FIRST_MESSAGES = 500
STARTS = 5
ALIKE = 8
MESSAGE = b"\x07" * 16

now = time.perf_counter_ns


def say(**line):
    print(json.dumps(line), flush=True)


def private_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        kib = sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))
    return kib * 1024
