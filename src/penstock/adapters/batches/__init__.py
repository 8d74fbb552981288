"""Files of batches: rows, and the answers to them."""
