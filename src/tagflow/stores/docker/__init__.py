"""The Docker Engine, through the Docker SDK."""
