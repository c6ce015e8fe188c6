"""Where the rows of a sync come from: one module for each kind of source."""
