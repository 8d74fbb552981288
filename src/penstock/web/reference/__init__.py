"""The description of what is served: as an OpenAPI document, as a page, and for each endpoint."""
