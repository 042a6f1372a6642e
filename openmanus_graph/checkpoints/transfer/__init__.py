"""Transfer: threads exported to a file and imported into another database."""
