"""The description of the API: OpenAPI for programs, and a page for people."""
