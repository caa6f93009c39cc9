"""The nouns everything else shares: names, evidence, verdicts, reasons, transitions.

Standard library only and no I/O, so that every layer, and any program that reads our output,
can import it cheaply.
"""
