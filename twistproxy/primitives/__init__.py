"""Small data structures without a word of the domain: deadlines, back-off, weighted rotation."""
