"""Traces and metrics for OpenTelemetry, by OTLP."""
