"""Orchestration: passes over many domains, shared probes, caches, limits, and the clock."""
