"""The durable kernel: runs of steps that outlive the node that carries them out. It knows nothing of playbooks."""
