"""The login provider (OpenID Connect): what it says of itself, its keys, and the exchange of a code for a token."""
