"""What several test modules share: `from support.databases import another`."""
