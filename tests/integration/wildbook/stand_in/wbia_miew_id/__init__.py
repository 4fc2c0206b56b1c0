"""A stand-in for Wild Me's MiewID plugin: its names and behaviour as a host of explanations meets them."""
