"""The embedded world: rendered pictures of a few objects, four kinds of questions about them, and a corpus."""
