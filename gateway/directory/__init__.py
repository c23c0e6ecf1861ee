"""Who takes part: certificates, the directory in the log, and connections to the operators."""
