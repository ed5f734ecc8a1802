"""The documentation site: pages that are generated from the code whenever the site is built.

``python -m mkdocs build --strict`` reads ``mkdocs.yml``, which names `tools.site.hooks`. Each
module here makes one kind of page, and alone knows where the code keeps those facts.
"""
