"""Archives as `docker save` writes them."""
