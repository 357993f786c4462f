"""Signatures, approvals and receipts."""
