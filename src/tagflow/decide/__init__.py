"""Decide: a snapshot and a request → a plan, or every reason why not. Pure."""
