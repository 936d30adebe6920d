"""GraphQL types of the product."""
