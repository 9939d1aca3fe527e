"""What whole-system tests, the kill loop and the benchmarks share."""
