"""The Review place: a session of graded memories."""
