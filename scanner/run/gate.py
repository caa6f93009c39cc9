"""The gate between a finished check and what is believed of it: are we ourselves able to see?

``scanner.run.monitor`` asks, ``scanner.run.selfwatch`` answers.
"""

from typing import Protocol

import trio

from scanner.model.ports import Target
from scanner.model.verdict import Check
from scanner.transition.confirm import Digest


class Gate(Protocol):
    """Closed while we are blind; then nothing is checked, and nothing is believed."""

    def closed(self) -> str | None:
        """Return why we are blind, as a sentence, or None while we can see."""
        ...

    async def wait_open(self) -> None:
        """Return once we can see; at once (with a checkpoint) while we can."""
        ...

    def note(self, target: Target, check: Check, digest: Digest) -> bool:
        """Take in a finished check and what it would change; False holds all of it back.

        A check that is held back changes no state, raises no suspicion, and is made again soon.
        """
        ...


class OpenGate:
    """A gate that is never closed, for whoever does not watch himself."""

    def closed(self) -> str | None:
        """Return None."""
        return None

    async def wait_open(self) -> None:
        """Return at once."""
        await trio.lowlevel.checkpoint()

    def note(self, target: Target, check: Check, digest: Digest) -> bool:
        """Return True."""
        return True
