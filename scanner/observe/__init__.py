"""Evidence: asks DNS servers and mail servers, and reports what was seen, with no opinion."""
