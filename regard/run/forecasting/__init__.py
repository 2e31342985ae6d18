"""Forecasting: its job and its finished model."""
