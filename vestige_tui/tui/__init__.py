"""The console: one folder for each place, and the parts that places share."""
