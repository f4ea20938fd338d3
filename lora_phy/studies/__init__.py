"""Studies made with the simulator: inter-SF rejection, capture, tables for network simulators, link budget."""
