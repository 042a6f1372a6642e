"""Server: the parts that the embedded Postgres server's supervisor is made of."""
