"""Every order of calls of two runs: the real verbs over a registry in memory, under a scheduler."""
