"""Runbooks as executable playbooks."""
