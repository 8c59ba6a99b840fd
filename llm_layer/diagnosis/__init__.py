"""Why a slice is slow or fails, by rules over what the cluster measured: the same answer from the same figures."""
