"""Estimators that follow scikit-learn's conventions, thin over the operations."""
