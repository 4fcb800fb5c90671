"""The certificate of a retirement: what the chain says of it, as JSON and as a PDF that is the same at every run."""
