"""A provider of language models on this machine that is none: three vendors' APIs over HTTP, and what it says is
written beforehand or follows a policy of ours.

Messages, Responses and Chat Completions, whole or as server-sent events, with tool calls and a provider's faults. Tests
and evals start it and point a cluster's configuration at it; nothing else imports it, and no setting names it.
"""
