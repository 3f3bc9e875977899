"""One file a screen: it asks view for lines, gives them to widgets, and turns keys into requests."""
