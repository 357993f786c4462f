"""Observe: the stores → a snapshot, everything asked once and side by side."""
