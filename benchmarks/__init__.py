"""How fast tagflow is, beside the tools that people know: `make bench` writes docs/benchmarks.md."""
