"""What steps do: operations of the catalogue, questions, and typed actions in Python."""
