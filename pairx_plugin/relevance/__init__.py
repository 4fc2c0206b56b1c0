"""Layer-wise relevance propagation that is exact, runs on shared weights and never touches the host's network."""
