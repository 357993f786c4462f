"""Whole images on their way from any store to any other, and what is known of them."""
