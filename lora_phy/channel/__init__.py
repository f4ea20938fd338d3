"""What happens to IQ between two antennas: noise, fading, offsets, interference. Knows no modem."""
