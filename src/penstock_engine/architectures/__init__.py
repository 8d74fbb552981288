"""One file per family of models: a checkpoint's configuration and weights become a graph."""
