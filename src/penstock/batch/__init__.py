"""`penstock batch`: a client program that sends many rows to an endpoint. It speaks HTTP to a server."""
