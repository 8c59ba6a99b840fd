"""Decision records, kept: bounded in the store, joined to the audit, and told what came of them."""
