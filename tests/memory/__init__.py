"""Memory of every role under steady load: `make soak` for an hour, and a bounded sample in the test suite."""
