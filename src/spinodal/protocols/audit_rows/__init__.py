"""The rows of the audit, a file per subject: what a claim is compared with, and by which call."""
