"""Target lists: which domains to watch, with the operator's own labels.

``targets.load.load_targets`` is the way in; the formats each have a file of their own.
"""
