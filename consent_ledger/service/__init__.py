"""The ledger's gRPC services; only here do protobuf services and the network appear."""
