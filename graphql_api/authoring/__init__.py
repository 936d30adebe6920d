"""The product: workflows, drafts, proposals and versions."""
