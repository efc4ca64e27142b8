"""Measuring: plan cells, share forward passes in groups, fit, measure, record."""
