"""One module per version, in order; each only adds."""
