"""The composition roots: master, template, worker and discovery process, and how they live and die."""
