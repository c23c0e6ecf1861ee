"""The two blind evaluators: T1 at the gateway, T2 at the pseudonym service, with quotas and once-only memory."""
