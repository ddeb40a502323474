"""The Store place: server, sizes, health and maintenance."""
