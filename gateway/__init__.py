"""The blind gateway between agencies: pseudonyms, exchange, directory, SDK, and the `regie` command."""
