"""Ingest: files, folders and pages, cut into passages along their structure."""
