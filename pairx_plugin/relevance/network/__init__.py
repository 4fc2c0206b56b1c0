"""The host's network, read and never touched: its twin, the steps of its forward pass, and what is known of its parts.

:func:`.shadow.make_twin` makes the twin, :func:`.tracing.trace` its steps.
"""
