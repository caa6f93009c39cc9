"""From checks to states and transitions: pure folding, no I/O."""
