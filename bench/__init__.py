"""What `make bench` measures: Shearling side by side with what people do today."""
