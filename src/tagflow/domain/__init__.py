"""Pure values and decisions: no network, no file, no clock, no print."""
