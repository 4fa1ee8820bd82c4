"""What each result's page says, one file a result."""
