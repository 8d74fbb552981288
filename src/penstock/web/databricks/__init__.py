"""The control plane's routes, as Databricks clients speak them."""
