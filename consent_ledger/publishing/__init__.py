"""Publishing the log's checkpoints: what readers of the log get, with the cosignatures of witnesses."""
