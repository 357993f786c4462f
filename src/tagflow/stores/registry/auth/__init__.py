"""Logging in to a registry: where credentials come from, and what they are exchanged for."""
