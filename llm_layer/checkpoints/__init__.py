"""How far graphs came, kept with the conversation that they answer in."""
