"""Connections to a registry: bounded in time, memory, repetition and trust."""
