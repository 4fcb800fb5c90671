"""Figures of the service for Prometheus.

``counting`` counts the answers of this process, ``text`` is the format. Those of a park need a right, and
stand among its routes.
"""
