"""Operations of the catalogue as a model's tools: typed, bounded, and without any that carries something out."""
