"""Transfer between two stores: copy, follow, verify and repair, over sources and targets of either kind."""
