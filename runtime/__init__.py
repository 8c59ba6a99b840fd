"""The runtime layer: slices, consensus, hosting, invocation, deployment. Imports nothing above itself."""
