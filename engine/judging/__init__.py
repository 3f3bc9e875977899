"""The judge: a larger model that rates a run's answers, after controls that show how far it can be believed."""
