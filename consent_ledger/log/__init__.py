"""The Merkle log as pure functions: C2SP tiles, signed notes, checkpoints, proof files. No I/O, time or randomness."""
