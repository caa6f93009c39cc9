"""Decisions only: evidence in, verdicts with reasons out.

Everything here is a pure function of its arguments: ``now``, policy and budgets are handed in, and
nothing touches a socket, a clock or a log. ``domain.judge`` is the way in for a whole check.
"""
