"""promotion.yaml: its shape, loading, JSON Schema, and the file that ``tagflow init`` writes."""

from tagflow.config.load import FILE_NAME, find_policy, load_policy, load_policy_text

__all__ = ["FILE_NAME", "find_policy", "load_policy", "load_policy_text"]
