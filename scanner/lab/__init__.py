"""A small Internet on loopback: signed zones, a resolver, mail hosts, and named ways to break them.

It is an independent witness: it imports the model and no other part of the scanner, and says for
each domain what a correct scanner must find. Start at ``scanner.lab.lab.open_lab``.
"""
