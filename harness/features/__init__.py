"""Feature pages: what every latent of a fitted method reacts to, gathered into one data file a page is made from."""
