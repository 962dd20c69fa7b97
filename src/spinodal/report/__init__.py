"""Records become one offline HTML page."""
