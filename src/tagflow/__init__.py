"""tagflow promotes container images from environment to environment, bit for bit."""

__version__ = "0.1.0"
