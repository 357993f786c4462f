"""Races between processes before a real registry and on layouts: single requests are held until another has ended."""
