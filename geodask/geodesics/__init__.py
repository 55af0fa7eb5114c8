"""Riemannian geometry of a metric that is a function of coordinates; knows no manifold."""
