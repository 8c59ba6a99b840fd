"""Language models of others: one way to ask them, whoever made them."""
