"""How fast the machine is at the moment: two fixed pieces of work, in processor time.

A shared machine does the same work in twice the time an hour later. Every result therefore carries
these two numbers, and results are comparable where they agree.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 7
_PYTHON = """
import time, json
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
data, how = bytes(180), ec.ECDSA(hashes.SHA256())
signature, public = key.sign(data, how), key.public_key()
def words():
    return sum(len(f"{n:x}".split("a")) for n in range(2000))
def checks():
    for _ in range(50):
        public.verify(signature, data, how)
def least(work):
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return sorted(found)[len(found) // 2]
print(json.dumps({"python_us": 1e6 * least(words), "verify_us": 1e6 * least(checks) / 50}))
"""


def calibrate(prefix: Sequence[str] = ()) -> dict[str, float]:
    """Return microseconds of a fixed Python loop, and of one ECDSA P-256 verification."""
    code = _PYTHON.replace("ROUNDS", str(ROUNDS))
    command = [*prefix, sys.executable, "-c", code]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: round(value, 1) for name, value in json.loads(text).items()}


def between(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return the mean of two calibrations, taken before and after the work."""
    return {name: round(statistics.mean((before[name], after[name])), 1) for name in before}


def commit_of(code: Path) -> str:
    """Return the commit of a checkout, with a plus where files differ from it."""
    result = subprocess.run(
        ["git", "-C", str(code), "describe", "--always", "--dirty=+", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or "none"
