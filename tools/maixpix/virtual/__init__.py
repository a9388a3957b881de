"""Virtual boards as the command line runs them: options, the running board, its web view."""
