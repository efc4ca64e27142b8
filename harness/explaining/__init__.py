"""Explaining what is predicted after one text by the latents that are active there, with measured effects."""
