"""The parts of tests/bench/run: see README.md beside it."""
