"""The report of a probe: each section from the results of one analysis, and the page around them."""
