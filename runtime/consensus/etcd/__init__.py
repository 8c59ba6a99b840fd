"""The Store protocol over an etcd cluster that exists already."""
