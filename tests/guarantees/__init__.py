"""What is promised, by which test it is held, and what that measured last: makes docs/guarantees.md."""
