"""Signed records, approvals and receipts: documents, what they prove, and the keys that make them."""
