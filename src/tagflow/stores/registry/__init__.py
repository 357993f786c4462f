"""A registry through the OCI distribution HTTP API."""
