"""OpenAPI: operations of web services as tools, from the documents that describe them."""
