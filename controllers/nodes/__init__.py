"""The node level of scaling: more nodes when slices no longer fit, fewer when they would fit on less."""
