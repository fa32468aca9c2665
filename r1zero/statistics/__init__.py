"""Intervals, tests and small models: numbers in, numbers with their uncertainty out."""
