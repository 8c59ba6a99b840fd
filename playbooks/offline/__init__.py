"""Playbooks where quorum is gone: carried out by the command line on one node, with verbs that touch only that node."""
