"""Report of a run as one HTML page without network, scripts or other files."""
