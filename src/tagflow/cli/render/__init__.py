"""Results as text for people: what is the same of many images is told once, with their count and names."""
