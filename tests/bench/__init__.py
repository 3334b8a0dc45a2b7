"""`make bench`: what the system does in a second, each figure beside a reference from the same run."""
