"""Reading models' files without the libraries that wrote them."""
