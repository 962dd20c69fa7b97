"""How fast the simulator is: against rivals, against the core's peak, on threads and in memory."""
