"""Hosts: what ranks photographs, calls the hooks and keeps the match-review records."""
