"""Manifests that were read before, on disk: they never change, so a second command need not fetch them again."""
