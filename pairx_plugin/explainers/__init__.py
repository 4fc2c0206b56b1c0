"""Explainers: each a file of its own, each registered through the public hook as a third party's would be."""
