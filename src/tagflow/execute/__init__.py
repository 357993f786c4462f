"""Execute: a plan → the world, so that at most one of several runs wins."""
