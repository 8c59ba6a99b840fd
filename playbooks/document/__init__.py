"""The document: a playbook as TOML, read into frozen structs or refused with line, key and remedy."""
