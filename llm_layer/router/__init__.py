"""From a sentence to a typed operation, without a model: a filled-in card, an answer to read, or three choices."""
