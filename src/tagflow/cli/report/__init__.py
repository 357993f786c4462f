"""The page of `status --html`: a template kept as files, and a pure renderer beside it."""
