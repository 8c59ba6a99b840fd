"""What may be spent on language models, and what was: kept in the store, decided on the leader."""
