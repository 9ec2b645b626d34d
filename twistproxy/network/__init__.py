"""Connection level: the network filter chain and the filters in it."""
