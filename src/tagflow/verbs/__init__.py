"""One file a verb: observe, decide, plan, execute."""
