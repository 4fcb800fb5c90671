"""What an auditor checks without trusting us: the builder of proof bundles, and their verifier."""
