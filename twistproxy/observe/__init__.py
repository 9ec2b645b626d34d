"""Counting and describing: statistics, histograms, access log formats.  Nothing here writes anywhere."""
