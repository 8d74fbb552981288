"""What the guarantee's benchmark reckons with: pure functions over the rows of `penstock.load`."""
