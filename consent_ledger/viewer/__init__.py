"""The residents' pages: server-rendered, without a build step; asks the ledger through `port.Portal`."""
