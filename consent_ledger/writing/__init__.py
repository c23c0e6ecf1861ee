"""What the sequencer runs: one module per kind of request, all over the same transaction."""
