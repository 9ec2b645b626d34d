"""Small data structures without a word of the domain: queues, back-off, weighted rotation.  Imports nothing but errors."""
